// gamut::selective_scan: checks, types, autograd, and the division of the work among threads.
#include "ops/selective_scan/selective_scan.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/double_backward.h"
#include "ops/rows.h"
#include "ops/selective_scan/chunks.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Those from D on may be undefined.
struct Inputs {
  Tensor u, delta, A, B, C, D, z, delta_bias, initial_state, cu_seqlens;
  bool delta_softplus;

  Documents documents() const { return Documents(cu_seqlens, u.size(0), u.size(1)); }
  std::vector<Tensor> differentiable() const {
    return {u, delta, A, B, C, D, z, delta_bias, initial_state};
  }
};

Inputs inputs_of(const std::vector<Tensor>& t, const Tensor& cu_seqlens, bool delta_softplus) {
  return {t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], cu_seqlens, delta_softplus};
}

// The inputs of a call in the kernel's terms, kept alive, and its work: a task is a row of the
// batch and up to kScanChannels channels, whatever the number of threads.
class Call {
 public:
  explicit Call(const Inputs& in)
      : chunks_(in.documents()),
        u_(rows_of(in.u)),
        delta_(rows_of(in.delta)),
        z_(in.z.defined() ? rows_of(in.z) : Rows{}),
        groups_((in.u.size(2) + kScanChannels - 1) / kScanChannels) {
    arguments.element = element_of(in.u);
    arguments.channels = in.u.size(2);
    arguments.states = in.A.size(1);
    arguments.padded_states = in.B.size(2);
    arguments.delta_softplus = in.delta_softplus;
    arguments.u = u_.data();
    arguments.u_stride = u_.stride;
    arguments.delta = delta_.data();
    arguments.delta_stride = delta_.stride;
    arguments.z = in.z.defined() ? z_.data() : nullptr;
    arguments.z_stride = in.z.defined() ? z_.stride : 0;
    arguments.A = in.A.const_data_ptr();
    arguments.B = in.B.const_data_ptr();
    arguments.C = in.C.const_data_ptr();
    arguments.D = data_or_null(in.D);
    arguments.delta_bias = data_or_null(in.delta_bias);
    arguments.initial_state = data_or_null(in.initial_state);
  }

  SelectiveScanArguments arguments{};

  int64_t groups() const { return groups_; }
  const ScanChunks& chunks() const { return chunks_; }

  // Calls run(row, group, arguments) for each task, at least `grain` of them at a time.
  template <class Run>
  void each(int64_t grain, const Run& run) const {
    at::parallel_for(0, chunks_.rows() * groups_, grain, [&](int64_t from, int64_t to) {
      for (int64_t task = from; task < to; ++task) {
        const int64_t row = task / groups_, group = task % groups_;
        auto a = arguments;
        a.first_channel = group * kScanChannels;
        a.n_channels = std::min(kScanChannels, a.channels - a.first_channel);
        a.chunks = chunks_.chunks.data() + chunks_.first[row];
        a.n_chunks = chunks_.first[row + 1] - chunks_.first[row];
        run(row, group, a);
      }
    });
  }

 private:
  const ScanChunks chunks_;
  const Rows u_, delta_, z_;
  const int64_t groups_;
};

Tensor scratch_for(const Tensor& sums) {
  return at::empty({selective_scan_scratch(sums.size(2))}, sums.options());
}

struct Outputs {
  Tensor y, final_state, checkpoints;
};

// Keeps checkpoints if a backward pass is to follow.
Outputs run_forward(const Inputs& in, bool keeps) {
  Call call(in);
  auto& a = call.arguments;
  const auto sums = in.A.options();
  Outputs out{at::empty(in.u.sizes(), in.u.options()),
              at::empty({in.documents().size(), a.channels, a.states}, sums), Tensor()};
  a.out = out.y.mutable_data_ptr();
  a.final_state = out.final_state.mutable_data_ptr();
  if (keeps) {
    const int64_t padded = (a.channels + kScanLanes - 1) / kScanLanes * kScanLanes;
    out.checkpoints = at::empty({call.chunks().checkpoints, padded, a.padded_states}, sums);
    a.checkpoints = out.checkpoints.mutable_data_ptr();
  }
  if (in.u.size(1) == 1 && !keeps) {
    // A task of decoding takes microseconds; a thread should have several.
    const int64_t grain = 1 + 65536 / (kScanChannels * a.states);
    call.each(grain, [](int64_t, int64_t, const auto& mine) { selective_scan_step(mine); });
    return out;
  }
  call.each(1, [&](int64_t, int64_t, SelectiveScanArguments& mine) {
    const auto scratch = scratch_for(in.B);
    mine.scratch = scratch.mutable_data_ptr();
    selective_scan_forward(mine);
  });
  return out;
}

// Where tasks put sums over rows or over channels: each its own part.
struct Parts {
  Tensor A, B, C, D, delta_bias;

  Parts(const Inputs& in, const Call& call) {
    const int64_t rows = call.chunks().rows(), channels = in.u.size(2);
    const auto sums = in.A.options();
    A = at::empty({rows, channels, in.A.size(1)}, sums);
    B = at::empty({call.groups(), in.B.size(0), in.B.size(1), in.B.size(2)}, sums);
    C = at::empty_like(B);
    D = at::empty({rows, channels}, sums);
    delta_bias = at::empty_like(D);
  }

  void give(int64_t row, int64_t group, SelectiveScanArguments& to) const {
    const auto at = [](const Tensor& x, int64_t i) { return x.select(0, i).mutable_data_ptr(); };
    to.dA = at(A, row);
    to.dB = at(B, group);
    to.dC = at(C, group);
    to.dD = at(D, row);
    to.d_delta_bias = at(delta_bias, row);
  }
};

// Gradients of the differentiable inputs; dy or d_final may be undefined.
variable_list run_backward(const Inputs& in, const Tensor& checkpoints, const Tensor& dy,
                           const Tensor& d_final) {
  Call call(in);
  auto& a = call.arguments;
  const auto d_out = rows_of(dy.defined() ? dy.to(in.u.scalar_type()) : at::zeros_like(in.u));
  const auto d_last = d_final.defined() ? d_final.to(in.A.scalar_type()).contiguous() : Tensor();
  const auto like_u = [&] { return at::empty(in.u.sizes(), in.u.options()); };
  const auto du = like_u(), d_delta = like_u(), dz = in.z.defined() ? like_u() : Tensor();
  const auto d_initial = in.initial_state.defined() ? at::empty_like(in.initial_state) : Tensor();
  const Parts parts(in, call);
  a.checkpoints = checkpoints.mutable_data_ptr();
  a.d_out = d_out.data();
  a.d_out_stride = d_out.stride;
  a.d_final_state = data_or_null(d_last);
  a.du = du.mutable_data_ptr();
  a.d_delta = d_delta.mutable_data_ptr();
  a.dz = data_or_null_mutable(dz);
  a.d_initial_state = data_or_null_mutable(d_initial);
  call.each(1, [&](int64_t row, int64_t group, SelectiveScanArguments& mine) {
    const auto scratch = scratch_for(in.B);
    mine.scratch = scratch.mutable_data_ptr();
    parts.give(row, group, mine);
    selective_scan_backward(mine);
  });
  return {du,
          d_delta,
          parts.A.sum(0),
          parts.B.sum(0),
          parts.C.sum(0),
          in.D.defined() ? parts.D.sum(0) : Tensor(),
          dz,
          in.delta_bias.defined() ? parts.delta_bias.sum(0) : Tensor(),
          d_initial};
}

std::tuple<Tensor, Tensor> composed(const Inputs& in) {
  return selective_scan_reference(in.u, in.delta, in.A, in.B, in.C, if_defined(in.D),
                                  if_defined(in.z), if_defined(in.delta_bias), in.delta_softplus,
                                  if_defined(in.initial_state), if_defined(in.cu_seqlens));
}

// Gradients that have gradients themselves: slow, by the definition.
variable_list composed_backward(const Inputs& in, const variable_list& grads) {
  const int64_t states = in.A.size(1);  // B and C are padded
  const Composed f = [&](const std::vector<Tensor>& t) -> std::vector<Tensor> {
    auto unpadded = inputs_of(t, in.cu_seqlens, in.delta_softplus);
    unpadded.B = unpadded.B.narrow(2, 0, states);
    unpadded.C = unpadded.C.narrow(2, 0, states);
    const auto [y, last] = composed(unpadded);
    return {y, last};
  };
  return differentiable_gradients(f, in.differentiable(), grads);
}

struct SelectiveScan : torch::autograd::Function<SelectiveScan> {
  static variable_list forward(AutogradContext* context, const Tensor& u, const Tensor& delta,
                               const Tensor& A, const Tensor& B, const Tensor& C,
                               const std::optional<Tensor>& D, const std::optional<Tensor>& z,
                               const std::optional<Tensor>& delta_bias,
                               const std::optional<Tensor>& initial_state,
                               const std::optional<Tensor>& cu_seqlens, bool delta_softplus) {
    const Inputs in{u,
                    delta,
                    A,
                    B,
                    C,
                    or_undefined(D),
                    or_undefined(z),
                    or_undefined(delta_bias),
                    or_undefined(initial_state),
                    or_undefined(cu_seqlens),
                    delta_softplus};
    const auto out = run_forward(in, /*keeps=*/true);
    auto saved = in.differentiable();
    saved.push_back(in.cu_seqlens);
    saved.push_back(out.checkpoints);
    context->save_for_backward(saved);
    context->saved_data["delta_softplus"] = delta_softplus;
    context->set_materialize_grads(false);
    return {out.y, out.final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto in = inputs_of(saved, saved[9], context->saved_data["delta_softplus"].toBool());
    auto result = at::GradMode::is_enabled() ? composed_backward(in, grads)
                                             : run_backward(in, saved[10], grads[0], grads[1]);
    result.resize(11);  // cu_seqlens and delta_softplus have none
    return result;
  }
};

void check_shape(const char* name, const Tensor& given, const std::vector<int64_t>& expected,
                 const char* meaning) {
  GAMUT_CHECK(!given.defined() || given.sizes() == at::IntArrayRef(expected),
              "selective_scan: ", name, " must be ", meaning, " = ", at::IntArrayRef(expected),
              "; it is ", given.sizes());
}

void check(const Inputs& in) {
  GAMUT_CHECK(in.u.dim() == 3 && in.u.numel() > 0,
              "selective_scan: u must be [batch, time, channels], none of them 0, not ",
              in.u.sizes());
  GAMUT_CHECK(in.A.dim() == 2 && in.A.size(0) == in.u.size(2) && in.A.size(1) >= 1,
              "selective_scan: A must be [channels, states] with ", in.u.size(2),
              " channels as in u and at least one state; it is ", in.A.sizes());
  const int64_t batch = in.u.size(0), time = in.u.size(1), channels = in.u.size(2);
  const int64_t states = in.A.size(1);
  for (const auto& t : in.differentiable()) {
    GAMUT_CHECK(!t.defined() || t.is_floating_point(),
                "selective_scan: all inputs must be of floating-point types, but one is ",
                t.scalar_type());
  }
  check_shape("delta", in.delta, {batch, time, channels}, "[batch, time, channels] as u");
  check_shape("z", in.z, {batch, time, channels}, "[batch, time, channels] as u");
  check_shape("B", in.B, {batch, time, states}, "[batch, time, states]");
  check_shape("C", in.C, {batch, time, states}, "[batch, time, states]");
  check_shape("D", in.D, {channels}, "[channels]");
  check_shape("delta_bias", in.delta_bias, {channels}, "[channels]");
  check_shape("initial_state", in.initial_state, {in.documents().size(), channels, states},
              "[documents, channels, states]");
}

// Types and layouts as the kernel takes them; differentiable.
Inputs prepared(Inputs in) {
  const auto given = in.u.scalar_type();
  const bool alike = given == in.delta.scalar_type() &&
                     (!in.z.defined() || given == in.z.scalar_type()) && has_element(given);
  const auto type = sum_type(in.u), element = alike ? given : type;
  for (Tensor* x : {&in.u, &in.delta, &in.z}) {
    if (x->defined()) *x = x->to(element);
  }
  for (Tensor* x : {&in.A, &in.B, &in.C, &in.D, &in.delta_bias, &in.initial_state}) {
    if (x->defined()) *x = x->to(type);
  }
  const int64_t missing = (kScanGroup - in.A.size(1) % kScanGroup) % kScanGroup;
  for (Tensor* x : {&in.B, &in.C}) {
    if (missing > 0) *x = at::constant_pad_nd(*x, {0, missing});
  }
  for (Tensor* x : {&in.A, &in.B, &in.C, &in.D, &in.delta_bias, &in.initial_state}) {
    if (x->defined()) *x = x->contiguous();
  }
  return in;
}

bool needs_gradient(const Inputs& in) {
  if (!at::GradMode::is_enabled()) return false;
  for (const auto& t : in.differentiable()) {
    if (t.defined() && t.requires_grad()) return true;
  }
  return false;
}

}  // namespace

std::tuple<Tensor, Tensor> selective_scan(
    const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
    const std::optional<Tensor>& D, const std::optional<Tensor>& z,
    const std::optional<Tensor>& delta_bias, bool delta_softplus,
    const std::optional<Tensor>& initial_state, const std::optional<Tensor>& cu_seqlens) {
  const Inputs given{u,
                     delta,
                     A,
                     B,
                     C,
                     or_undefined(D),
                     or_undefined(z),
                     or_undefined(delta_bias),
                     or_undefined(initial_state),
                     or_undefined(cu_seqlens),
                     delta_softplus};
  check(given);
  if (!u.device().is_cpu()) return composed(given);
  const auto in = prepared(given);
  if (!needs_gradient(in)) {
    const auto out = run_forward(in, /*keeps=*/false);
    return {out.y.to(u.scalar_type()), out.final_state};
  }
  const auto out =
      SelectiveScan::apply(in.u, in.delta, in.A, in.B, in.C, if_defined(in.D), if_defined(in.z),
                           if_defined(in.delta_bias), if_defined(in.initial_state),
                           if_defined(in.cu_seqlens), in.delta_softplus);
  return {out[0].to(u.scalar_type()), out[1]};
}

}  // namespace gamut::ops
