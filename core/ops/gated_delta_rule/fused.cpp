// The gated delta rule by the CPU kernels: autograd, and the work divided among threads. A task is
// one sequence and one head or, where those are too few, a part of that: some columns in the
// forward pass, some of the steps in the backward pass. The parts compute the same bits as the
// whole.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

#include "ops/gated_delta_rule/delta_rule.h"
#include "ops/gated_delta_rule/division.h"
#include "ops/gated_delta_rule/rows_of_heads.h"
#include "ops/gated_delta_rule/scratch.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Below this many multiply-adds threads cost more than they save.
constexpr int64_t kSerialWork = 100'000;

// The inputs as the kernels take them: one element type, rows of contiguous elements.
struct Prepared {
  Tensor q, k, v, g, beta, initial_state;
  std::vector<int64_t> offsets;  // where sequences begin, and the end of the last
  DeltaRuleSizes sizes;

  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t chunks_of(int64_t sequence) const {
    return (offsets[sequence + 1] - offsets[sequence] + sizes.chunk - 1) / sizes.chunk;
  }
  at::TensorOptions sums() const { return g.options(); }
};

std::vector<int64_t> offsets_of(const DeltaRuleInput& in) {
  std::vector<int64_t> offsets;
  if (in.cu_seqlens.defined()) {
    const auto* data = in.cu_seqlens.const_data_ptr<int64_t>();
    offsets.assign(data, data + in.cu_seqlens.numel());
  } else {
    for (int64_t row = 0; row <= in.v.size(0); ++row) offsets.push_back(row * in.v.size(1));
  }
  return offsets;
}

Prepared prepare(const DeltaRuleInput& in, int64_t chunk_size) {
  const auto is = [&](at::ScalarType type) {
    return in.q.scalar_type() == type && in.k.scalar_type() == type && in.v.scalar_type() == type;
  };
  const auto sums = sum_type(in.v);
  const auto type = is(at::kBFloat16) ? at::kBFloat16 : sums;
  Prepared p{as_rows_of_heads(in.q, type),
             as_rows_of_heads(in.k, type),
             as_rows_of_heads(in.v, type),
             in.g.to(sums).contiguous(),
             in.beta.to(sums).contiguous(),
             in.initial_state.defined() ? in.initial_state.to(sums).contiguous() : Tensor(),
             offsets_of(in),
             {}};
  p.sizes = {element_of(p.v), p.q.size(2), p.v.size(2), p.k.size(3),
             p.v.size(3),     chunk_size,  in.scale};
  return p;
}

DeltaRuleCall call_of(const Prepared& p) {
  DeltaRuleCall call{};
  call.sizes = p.sizes;
  call.q = rows_of_heads<DeltaRuleRows>(p.q);
  call.k = rows_of_heads<DeltaRuleRows>(p.k);
  call.v = rows_of_heads<DeltaRuleRows>(p.v);
  call.g = p.g.const_data_ptr();
  call.beta = p.beta.const_data_ptr();
  return call;
}

using Tasks = std::vector<std::pair<int64_t, int64_t>>;  // the cost and the number of each

// Runs f(task, scratch) for every task, the costliest first, each by whichever thread is free.
template <class F>
void run_tasks(Tasks cost_and_task, int64_t scratch, const Tensor& like, const F& f) {
  std::stable_sort(cost_and_task.begin(), cost_and_task.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  const int64_t count = static_cast<int64_t>(cost_and_task.size());
  std::atomic<int64_t> next{0};
  const auto work = [&](int64_t, int64_t) {
    const Tensor memory = at::empty({scratch}, like.options());
    for (int64_t i; (i = next.fetch_add(1)) < count;) {
      f(cost_and_task[i].second, memory.mutable_data_ptr());
    }
  };
  int64_t total = 0;
  for (const auto& [cost, task] : cost_and_task) total += cost;
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), count);
  if (total <= kSerialWork || threads <= 1 || at::in_parallel_region()) return work(0, 0);
  at::parallel_for(0, threads, 1, work);
}

template <template <class> class Scratch, class... More>
int64_t scratch_elements(const Prepared& p, More... more) {
  if (p.sizes.element == Element::float64) {
    Pieces<double> pieces(nullptr);
    Scratch<double>(pieces, p.sizes, more...);
    return pieces.used();
  }
  Pieces<float> pieces(nullptr);
  Scratch<float>(pieces, p.sizes, more...);
  return pieces.used();
}

struct Forward {
  Tensor output, final_state;
  Tensor states;                     // those that enter the chunks, if they are to be saved
  std::vector<int64_t> first_chunk;  // of every sequence
};

std::vector<int64_t> first_chunks(const Prepared& p) {
  std::vector<int64_t> first{0};
  for (int64_t s = 0; s < p.sequences(); ++s) first.push_back(first.back() + p.chunks_of(s));
  return first;
}

// Columns a task takes: all, or fewer where there are less than `heads` for the threads.
int64_t slice_width(const Prepared& p, int64_t heads) {
  const int64_t wanted = (at::get_num_threads() + heads - 1) / heads;
  return delta_rule_padded((p.sizes.d_v + wanted - 1) / wanted);
}

Forward run_forward(const Prepared& p, bool by_steps, bool save) {
  const auto& z = p.sizes;
  Forward out;
  out.output = at::empty(p.v.sizes(), p.v.options());
  out.final_state = at::empty({p.sequences(), z.value_heads, z.d_k, z.d_v}, p.sums());
  const auto first_chunk = first_chunks(p);
  const int64_t state_size = z.value_heads * z.d_k * delta_rule_padded(z.d_v);
  if (save) out.states = at::empty({first_chunk.back(), state_size}, p.sums());
  const int64_t width = slice_width(p, p.sequences() * z.value_heads);
  const int64_t slices = (z.d_v + width - 1) / width;
  const int64_t scratch =
      by_steps ? scratch_elements<StepScratch>(p) : scratch_elements<ForwardScratch>(p, width);

  DeltaRuleForward common{};
  static_cast<DeltaRuleCall&>(common) = call_of(p);
  common.initial_state = data_or_null(p.initial_state);
  common.output = out.output.mutable_data_ptr();
  common.final_state = out.final_state.mutable_data_ptr();
  auto* states = static_cast<char*>(data_or_null_mutable(out.states));
  const int64_t bytes = state_size * static_cast<int64_t>(p.g.element_size());
  const auto run = [&](int64_t task, void* memory) {
    DeltaRuleForward call = common;
    call.scratch = memory;
    call.column = task % slices * width;
    call.columns = std::min(width, z.d_v - call.column);
    call.head = task / slices % z.value_heads;
    call.sequence = task / slices / z.value_heads;
    call.first = p.offsets[call.sequence];
    call.last = p.offsets[call.sequence + 1];
    if (states) call.states = states + first_chunk[call.sequence] * bytes;
    by_steps ? delta_rule_steps(call) : delta_rule_forward(call);
  };
  Tasks tasks;
  for (int64_t i = 0; i < p.sequences() * z.value_heads * slices; ++i) {
    const int64_t sequence = i / slices / z.value_heads;
    tasks.emplace_back((p.offsets[sequence + 1] - p.offsets[sequence]) * z.d_k * width, i);
  }
  run_tasks(std::move(tasks), scratch, p.g, run);
  return out;
}

struct Gradients {
  Tensor q, k, v, g, beta, initial_state;
};

// Some chunks of a sequence.
struct Piece {
  int64_t sequence;
  int64_t first, last;  // steps
  int64_t chunk;        // the first one, among all saved states
  bool is_first, is_last;
};

class BackwardPass {
 public:
  BackwardPass(const Prepared& p, const Tensor& states, const Tensor& d_output,
               const Tensor& d_final)
      : p_(p),
        states_(states),
        d_output_(d_output.defined() ? as_rows_of_heads(d_output, p.v.scalar_type())
                                     : at::zeros(p.v.sizes(), p.v.options())),
        d_final_(d_final.defined() ? d_final.to(p.g.scalar_type()).contiguous() : d_final),
        heads_(p.sequences() * p.sizes.heads),
        width_(slice_width(p, heads_)),
        slices_((p.sizes.d_v + width_ - 1) / width_) {
    const auto like = [](const Tensor& x) { return at::empty(x.sizes(), x.options()); };
    d_ = {like(p.q), like(p.k), like(p.v), like(p.g), like(p.beta), {}};
    if (p.initial_state.defined()) d_.initial_state = like(p.initial_state);
    static_cast<DeltaRuleCall&>(common_) = call_of(p);
    common_.d_output = rows_of_heads<DeltaRuleRows>(d_output_);
  }

  Gradients run() {
    divide();
    if (static_cast<int64_t>(pieces_.size()) > p_.sequences()) scan();
    differentiate();
    return std::move(d_);
  }

 private:
  int64_t work(const Piece& piece) const {
    const auto& z = p_.sizes;
    return (piece.last - piece.first) * z.d_k * z.d_v * (z.value_heads / z.heads);
  }

  void divide() {
    const auto& z = p_.sizes;
    const Piece all{0, 0, p_.offsets.back(), 0, true, true};
    const bool is_serial = work(all) * z.heads <= kSerialWork || at::in_parallel_region();
    DeltaRuleLoad load{{}, z.heads, slices_, is_serial ? 1 : at::get_num_threads()};
    for (int64_t s = 0; s < p_.sequences(); ++s) load.chunks.push_back(p_.chunks_of(s));
    const int64_t steps = delta_rule_piece(load) * z.chunk;
    const auto first_chunk = first_chunks(p_);
    for (int64_t s = 0; s < p_.sequences(); ++s) {
      const int64_t begin = p_.offsets[s], end = p_.offsets[s + 1];
      for (int64_t first = begin; first < end; first += steps) {
        const int64_t last = std::min(first + steps, end);
        pieces_.push_back({s, first, last, first_chunk[s] + (first - begin) / z.chunk,
                           first == begin, last == end});
      }
    }
  }

  // The gradient of the state after every piece of a sequence but the last, from the end.
  void scan() {
    const auto& z = p_.sizes;
    const auto count = static_cast<int64_t>(pieces_.size());
    d_after_ = at::empty({count, z.value_heads, z.d_k, z.d_v}, p_.sums());
    Tasks tasks;
    for (int64_t i = 0; i < count; ++i) {
      if (!pieces_[i].is_last || pieces_[i].is_first) continue;
      const int64_t cost = work(pieces_[i]);
      for (int64_t j = 0; j < z.heads * slices_; ++j) {
        tasks.emplace_back(cost, i * z.heads * slices_ + j);
      }
    }
    run_tasks(std::move(tasks), scratch_elements<BackwardScratch>(p_, width_), p_.g,
              [&](int64_t task, void* memory) {
                for (int64_t i = task / slices_ / z.heads; !pieces_[i].is_first; --i) {
                  auto call = call_for(i);
                  call.scratch = memory;
                  call.column = task % slices_ * width_;
                  call.columns = std::min(width_, z.d_v - call.column);
                  call.head = task / slices_ % z.heads;
                  call.d_initial = at_index(d_after_, i - 1);
                  delta_rule_backward(call);
                }
              });
  }

  void differentiate() {
    const auto& z = p_.sizes;
    Tasks tasks;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      for (int64_t j = 0; j < z.heads; ++j) tasks.emplace_back(work(pieces_[i]), i * z.heads + j);
    }
    run_tasks(std::move(tasks), scratch_elements<BackwardScratch>(p_, z.d_v), p_.g,
              [&](int64_t task, void* memory) {
                const Piece& piece = pieces_[task / z.heads];
                auto call = call_for(task / z.heads);
                call.scratch = memory;
                call.columns = z.d_v;
                call.head = task % z.heads;
                call.d_q = d_.q.mutable_data_ptr();
                call.d_k = d_.k.mutable_data_ptr();
                call.d_v = d_.v.mutable_data_ptr();
                call.d_g = d_.g.mutable_data_ptr();
                call.d_beta = d_.beta.mutable_data_ptr();
                if (piece.is_first) call.d_initial = at_index(d_.initial_state, piece.sequence);
                delta_rule_backward(call);
              });
  }

  DeltaRuleBackward call_for(int64_t i) const {
    const Piece& piece = pieces_[i];
    DeltaRuleBackward call = common_;
    call.first = piece.first;
    call.last = piece.last;
    call.states = at_index(states_, piece.chunk);
    call.d_final = piece.is_last ? at_index(d_final_, piece.sequence) : at_index(d_after_, i);
    return call;
  }

  // x[i], or null where there is no x.
  static void* at_index(const Tensor& x, int64_t i) {
    if (!x.defined()) return nullptr;
    return static_cast<char*>(x.data_ptr()) + i * x.stride(0) * x.element_size();
  }

  const Prepared& p_;
  const Tensor states_, d_output_, d_final_;
  int64_t heads_, width_, slices_;  // the slices are those of the scan
  DeltaRuleBackward common_{};
  std::vector<Piece> pieces_;
  Tensor d_after_;  // [pieces, value_heads, d_k, d_v], of the states after the pieces
  Gradients d_;
};

struct FusedDeltaRule : torch::autograd::Function<FusedDeltaRule> {
  static variable_list forward(AutogradContext* ctx, const Tensor& q, const Tensor& k,
                               const Tensor& v, const Tensor& g, const Tensor& beta,
                               const std::optional<Tensor>& initial_state,
                               const std::optional<Tensor>& cu_seqlens, double scale,
                               int64_t chunk_size) {
    const DeltaRuleInput in{
        q, k, v, g, beta, or_undefined(initial_state), or_undefined(cu_seqlens), scale};
    const auto out = run_forward(prepare(in, chunk_size), /*by_steps=*/false, /*save=*/true);
    ctx->save_for_backward({q, k, v, g, beta, in.initial_state, in.cu_seqlens, out.states});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["chunk_size"] = chunk_size;
    ctx->set_materialize_grads(false);
    return {out.output, out.final_state};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    GAMUT_CHECK(!at::GradMode::is_enabled(),
                "gated_delta_rule has no second derivative; call backward without create_graph, or "
                "use gated_delta_rule_reference");
    const auto saved = ctx->get_saved_variables();
    const DeltaRuleInput in{saved[0], saved[1], saved[2], saved[3],
                            saved[4], saved[5], saved[6], ctx->saved_data["scale"].toDouble()};
    const auto p = prepare(in, ctx->saved_data["chunk_size"].toInt());
    const auto d = BackwardPass(p, saved[7], grads[0], grads[1]).run();
    const auto as = [](const Tensor& gradient, const Tensor& x) {
      return x.defined() ? gradient.to(x.scalar_type()) : Tensor();
    };
    return {as(d.q, in.q),
            as(d.k, in.k),
            as(d.v, in.v),
            as(d.g, in.g),
            as(d.beta, in.beta),
            as(d.initial_state, in.initial_state),
            {},
            {},
            {}};
  }
};

bool needs_gradients(const DeltaRuleInput& in) {
  if (!at::GradMode::is_enabled()) return false;
  for (const auto* x : {&in.q, &in.k, &in.v, &in.g, &in.beta, &in.initial_state}) {
    if (x->defined() && x->requires_grad()) return true;
  }
  return false;
}

}  // namespace

DeltaRuleResult delta_rule_fused(const DeltaRuleInput& in, int64_t chunk_size) {
  // Under autocast conversions below would be undone.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  Tensor output, final_state;
  if (needs_gradients(in)) {
    const auto out =
        FusedDeltaRule::apply(in.q, in.k, in.v, in.g, in.beta, if_defined(in.initial_state),
                              if_defined(in.cu_seqlens), in.scale, chunk_size);
    output = out[0];
    final_state = out[1];
  } else {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    const auto p = prepare(in, chunk_size);
    const auto out = run_forward(p, /*by_steps=*/in.v.size(1) <= kRecurrentSteps, /*save=*/false);
    output = out.output;
    final_state = out.final_state;
  }
  return {output.to(in.v.scalar_type()), final_state};
}

}  // namespace gamut::ops
