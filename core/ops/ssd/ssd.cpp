// gamut::ssd: checks, autograd, and the division of documents and heads among threads.
#include "ops/ssd/ssd.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <gamut/documents.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>

#include "cuda/kernels.h"
#include "ops/double_backward.h"
#include "ops/rows.h"
#include "ops/ssd/device.h"
#include "ops/ssd/kernel.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The fastest of 32 to 256 for P 64 and N 128; its neighbours are within a tenth of it.
constexpr int64_t kChunk = 64;
// Up to this many steps without gradients the recurrence itself is faster.
constexpr int64_t kFewSteps = 8;
// Units to aim at: enough to share evenly among some threads, though every unit of a group computes
// the group's products again.
constexpr int64_t kUnits = 8;

// The operator after what is done to dt: g = dt A.
struct Inputs {
  Tensor x, dt, g, b, c;    // dt and g of the type of sums
  Tensor d, initial_state;  // may be undefined
  Tensor cu_seqlens;        // may be undefined
  int64_t chunk;

  Documents documents() const { return Documents(cu_seqlens, x.size(0), x.size(1)); }
};

// The units of work: blocks of heads that share a group, for every document. They depend on the
// shapes alone.
struct Units {
  std::vector<SsdArguments> units;
  int64_t chunks = 0;
  int64_t head_blocks;  // of a group

  Units(const SsdArguments& all, const Documents& documents) {
    const int64_t heads = all.heads / all.groups;  // of a group
    int64_t block = std::min<int64_t>(heads, kSsdHeads);
    const auto blocks = [&] { return (heads + block - 1) / block; };
    while (block > 1 && documents.size() * all.groups * blocks() < kUnits) --block;
    head_blocks = blocks();
    block = (heads + head_blocks - 1) / head_blocks;
    for (int64_t i = 0; i < documents.size(); ++i) {
      auto unit = all;
      unit.begin = documents.begin(i);
      unit.end = documents.end(i);
      unit.document = i;
      unit.first_chunk = chunks;
      chunks += (unit.end - unit.begin + all.chunk - 1) / all.chunk;
      for (unit.first_head = 0; unit.first_head < all.heads; unit.first_head += unit.n_heads) {
        const int64_t left = heads - unit.first_head % heads;
        unit.n_heads = std::min(block, left);
        units.push_back(unit);
      }
    }
  }

  // Runs the kernel on every unit, on all threads; each takes the next one when it is done.
  template <class Kernel>
  void run(const Kernel& kernel, int64_t scratch_elements) const {
    const auto type = units[0].is_double ? at::kDouble : at::kFloat;
    const auto threads =
        std::min<int64_t>(at::get_num_threads(), static_cast<int64_t>(units.size()));
    std::atomic<size_t> next{0};
    at::parallel_for(0, threads, 1, [&](int64_t /*from*/, int64_t /*to*/) {
      const auto scratch = at::zeros({scratch_elements}, type);
      for (size_t i = next++; i < units.size(); i = next++) {
        auto unit = units[i];
        unit.scratch = scratch.mutable_data_ptr();
        kernel(unit);
      }
    });
  }
};

// What the chunked passes take of their scratch memory at most, in elements.
int64_t chunk_scratch(const SsdArguments& a) {
  const int64_t q = GAMUT_SSD_PADDED(a.chunk), n = GAMUT_SSD_PADDED(a.d_state);
  const int64_t p = GAMUT_SSD_PADDED(a.head_dim);
  return 6 * q * n + 5 * q * q + 4 * q * p + (kSsdHeads + 1) * n * p;
}

int64_t step_scratch(const SsdArguments& a) {
  return 2 * GAMUT_SSD_PADDED(a.d_state) + 2 * GAMUT_SSD_PADDED(a.head_dim);
}

// The inputs in the types and layouts of the kernels, kept alive.
struct Prepared {
  std::vector<Tensor> kept;
  SsdArguments arguments{};

  explicit Prepared(const Inputs& in) {
    auto& a = arguments;
    a.is_double = in.x.scalar_type() == at::kDouble;
    a.heads = in.x.size(2);
    a.head_dim = in.x.size(3);
    a.groups = in.b.size(2);
    a.d_state = in.b.size(3);
    a.chunk = in.chunk;
    a.x = rows(in.x, in);
    a.b = rows(in.b, in);
    a.c = rows(in.c, in);
    a.dt = sums(in.dt, in);
    a.g = sums(in.g, in);
    a.d = sums(in.d, in);
    a.initial_state = sums(in.initial_state, in);
  }

  // [batch, time, a, b] as rows; a type with other sums than those of x is converted.
  SsdRows rows(const Tensor& t, const Inputs& in) {
    const bool fits = has_element(t.scalar_type()) && sum_type(t) == sum_type(in.x);
    const auto r = rows_of((fits ? t : t.to(sum_type(in.x))).flatten(2));
    kept.push_back(r.tensor);
    return {element_of(r.tensor), r.data(), r.stride};
  }

  const void* sums(const Tensor& t, const Inputs& in) {
    if (!t.defined()) return nullptr;
    kept.push_back(t.to(sum_type(in.x)).contiguous());
    return kept.back().const_data_ptr();
  }
};

struct Output {
  Tensor y, final_state;
  Tensor chunk_states;  // undefined unless asked for
};

Output run_forward(const Inputs& in, bool keep_states) {
  const auto documents = in.documents();
  Prepared prepared(in);
  auto& a = prepared.arguments;
  const auto sums = in.x.options().dtype(sum_type(in.x));
  Output out;
  out.y = at::empty(in.x.sizes(), in.x.options());
  out.final_state = at::empty({documents.size(), a.heads, a.head_dim, a.d_state}, sums);
  a.y = {element_of(in.x), out.y.mutable_data_ptr()};
  a.final_state = out.final_state.mutable_data_ptr();
  Units units(a, documents);
  if (keep_states) {
    out.chunk_states =
        at::empty({units.chunks, a.heads, a.d_state, GAMUT_SSD_PADDED(a.head_dim)}, sums);
    for (auto& unit : units.units) unit.chunk_states = out.chunk_states.mutable_data_ptr();
  }
  int64_t longest = 0;
  for (int64_t i = 0; i < documents.size(); ++i) {
    longest = std::max(longest, documents.end(i) - documents.begin(i));
  }
  if (!keep_states && longest <= kFewSteps) {
    units.run([](const SsdArguments& unit) { ssd_steps(unit); }, step_scratch(a));
  } else {
    units.run([](const SsdArguments& unit) { ssd_forward(unit); }, chunk_scratch(a));
  }
  return out;
}

// Gradients of x, dt, g, b, c, d and initial state; dy or d_final may be undefined.
variable_list run_backward(const Inputs& in, const Tensor& chunk_states, const Tensor& dy,
                           const Tensor& d_final) {
  const auto documents = in.documents();
  Prepared prepared(in);
  auto& a = prepared.arguments;
  const auto sums = in.x.options().dtype(sum_type(in.x));
  a.chunk_states = chunk_states.data_ptr();
  a.dy = prepared.rows(dy.defined() ? dy : at::zeros_like(in.x), in);
  a.d_final_state = prepared.sums(d_final, in);
  const auto dx = at::empty(in.x.sizes(), in.x.options());
  const auto ddt = at::empty(in.dt.sizes(), sums), dg = at::empty(in.g.sizes(), sums);
  const auto d_d = at::empty({documents.size(), a.heads}, sums);
  const auto d_initial =
      in.initial_state.defined() ? at::empty(in.initial_state.sizes(), sums) : Tensor();
  a.dx = {element_of(in.x), dx.mutable_data_ptr()};
  a.ddt = ddt.mutable_data_ptr();
  a.dg = dg.mutable_data_ptr();
  a.d_d = d_d.mutable_data_ptr();
  a.d_initial_state = data_or_null_mutable(d_initial);
  Units units(a, documents);
  // Each block of heads has its part.
  auto shape = in.b.sizes().vec();
  shape.insert(shape.begin(), units.head_blocks);
  const auto d_b = at::empty(shape, sums), d_c = at::empty(shape, sums);
  const int64_t heads = a.heads / a.groups,
                block = (heads + units.head_blocks - 1) / units.head_blocks;
  for (auto& unit : units.units) {
    const int64_t part = unit.first_head % heads / block;
    unit.d_b = d_b[part].mutable_data_ptr();
    unit.d_c = d_c[part].mutable_data_ptr();
  }
  units.run([](const SsdArguments& unit) { ssd_backward(unit); }, chunk_scratch(a));
  const auto like = [](const Tensor& gradient, const Tensor& input) {
    return input.defined() ? gradient.to(input.scalar_type()) : Tensor();
  };
  return {dx,
          ddt,
          dg,
          like(d_b.sum(0), in.b),
          like(d_c.sum(0), in.c),
          in.d.defined() ? like(d_d.sum(0), in.d) : Tensor(),
          d_initial.defined() ? like(d_initial, in.initial_state) : Tensor()};
}

struct Ssd : torch::autograd::Function<Ssd> {
  static variable_list forward(AutogradContext* context, const Tensor& x, const Tensor& dt,
                               const Tensor& g, const Tensor& b, const Tensor& c,
                               const std::optional<Tensor>& d,
                               const std::optional<Tensor>& initial_state,
                               const std::optional<Tensor>& cu_seqlens, int64_t chunk) {
    const Inputs in{
        x,    dt, g, b, c, or_undefined(d), or_undefined(initial_state), or_undefined(cu_seqlens),
        chunk};
    const auto out = run_forward(in, /*keep_states=*/true);
    context->save_for_backward(
        {x, dt, g, b, c, in.d, in.initial_state, in.cu_seqlens, out.chunk_states});
    context->saved_data["chunk"] = chunk;
    context->set_materialize_grads(false);
    return {out.y, out.final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    GAMUT_CHECK(!at::GradMode::is_enabled(),
                "ssd has no second derivative; call backward without create_graph, or use "
                "gamut::ssd_reference");
    const auto s = context->get_saved_variables();
    const Inputs in{
        s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], context->saved_data["chunk"].toInt()};
    auto result = run_backward(in, s[8], grads[0], grads[1]);
    result.resize(9);
    return result;
  }
};

void check_per_head(const char* name, const std::optional<Tensor>& t, int64_t heads) {
  GAMUT_CHECK(!t || (t->dim() == 1 && t->size(0) == heads), "ssd: ", name, " must be [", heads,
              "], one for each head; it is ", t ? t->sizes() : at::IntArrayRef());
}

void check_sequences(const Tensor& x, const Tensor& dt, const Tensor& B, const Tensor& C) {
  GAMUT_CHECK(x.dim() == 4 && x.numel() > 0,
              "ssd: x must be [batch, time, heads, head_dim], none of them 0, not ", x.sizes());
  const bool on_device = !x.device().is_cpu() || cuda::kernels_for(x.device());
  GAMUT_CHECK(has_element(x.scalar_type()) || (on_device && x.scalar_type() == at::kHalf),
              "ssd: x must be float32, bfloat16 or float64 on the CPU, not ", x.scalar_type());
  GAMUT_CHECK(dt.sizes() == x.sizes().slice(0, 3),
              "ssd: dt must be [batch, time, heads] = ", x.sizes().slice(0, 3), " as x; it is ",
              dt.sizes());
  GAMUT_CHECK(B.dim() == 4 && B.numel() > 0 && B.sizes().slice(0, 2) == x.sizes().slice(0, 2),
              "ssd: B must be [batch, time, groups, d_state] with the batch and time of x, ",
              x.sizes().slice(0, 2), "; it is ", B.sizes());
  GAMUT_CHECK(C.sizes() == B.sizes(), "ssd: C must be ", B.sizes(), " as B; it is ", C.sizes());
  GAMUT_CHECK(x.size(2) % B.size(2) == 0, "ssd: the groups of B and C, ", B.size(2),
              ", must divide the heads of x, ", x.size(2));
}

void check_state(const Inputs& in) {
  if (!in.initial_state.defined()) return;
  const std::vector<int64_t> expected{in.documents().size(), in.x.size(2), in.x.size(3),
                                      in.b.size(3)};
  GAMUT_CHECK(in.initial_state.sizes() == at::IntArrayRef(expected),
              "ssd: initial_state must be [documents, heads, head_dim, d_state] = ",
              at::IntArrayRef(expected), "; it is ", in.initial_state.sizes());
}

bool needs_gradient(const Inputs& in) {
  if (!at::GradMode::is_enabled()) return false;
  for (const auto* t : {&in.x, &in.dt, &in.g, &in.b, &in.c, &in.d, &in.initial_state}) {
    if (t->defined() && t->requires_grad()) return true;
  }
  return false;
}

}  // namespace

std::tuple<Tensor, Tensor> ssd(const Tensor& x, const Tensor& dt, const Tensor& A, const Tensor& B,
                               const Tensor& C, const std::optional<Tensor>& D,
                               const std::optional<Tensor>& dt_bias, bool dt_softplus,
                               const std::optional<Tensor>& initial_state,
                               const std::optional<Tensor>& cu_seqlens, int64_t chunk_size) {
  check_sequences(x, dt, B, C);
  check_per_head("A", A, x.size(2));
  check_per_head("D", D, x.size(2));
  check_per_head("dt_bias", dt_bias, x.size(2));
  GAMUT_CHECK(chunk_size >= 0 && chunk_size <= kSsdMaxChunk, "ssd: chunk_size = ", chunk_size,
              " must be 1 to ", kSsdMaxChunk, ", or 0 for one that is chosen");
  const bool on_device = ssd_has_kernels(x, dt, B, C, or_undefined(initial_state));
  if (!on_device && !x.device().is_cpu()) {
    // Autocast would round the products of the state.
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    return ssd_composed(x, dt, A, B, C, D, dt_bias, dt_softplus, initial_state, cu_seqlens,
                        chunk_size);
  }
  auto step = dt.to(sum_type(x));
  if (dt_bias) step = step + dt_bias->to(sum_type(x));
  if (dt_softplus) step = at::softplus(step);
  const Inputs in{x,
                  step,
                  step * A.to(sum_type(x)),
                  B,
                  C,
                  or_undefined(D),
                  or_undefined(initial_state),
                  or_undefined(cu_seqlens),
                  chunk_size > 0 ? chunk_size : kChunk};
  check_state(in);
  if (on_device) {
    return ssd_on_device({in.c, in.b, in.x, in.g, in.dt, in.initial_state,
                          in.documents().cu_seqlens(), /*scale=*/1.0},
                         in.d);
  }
  if (!needs_gradient(in)) {
    const auto out = run_forward(in, /*keep_states=*/false);
    return {out.y, out.final_state};
  }
  const auto results =
      Ssd::apply(in.x, in.dt, in.g, in.b, in.c, D, initial_state, cu_seqlens, in.chunk);
  return {results[0], results[1]};
}

}  // namespace gamut::ops
