// Mamba-1; see README.md for the equations.
#include "mamba1.h"

#include <ATen/ATen.h>
#include <gamut/init.h>
#include <gamut/ops.h>

namespace gamut::mamba {

using at::Tensor;

namespace {

int64_t rank_of(const Options& options) {
  if (options.has("dt_rank")) return options.integer("dt_rank");
  return (options.integer("d_model") + 15) / 16;
}

}  // namespace

// Draws follow the order of registration.
Mamba1::Mamba1(const Options& options) : Layer(options, 16), dt_rank_(rank_of(options)) {
  in_proj_ = make_linear("in_proj", d_model_, 2 * d_inner_, bias_);
  make_convolution(d_inner_);
  x_proj_ = make_linear("x_proj", d_inner_, dt_rank_ + 2 * d_state_, false);
  const double bound = 1 / std::sqrt(static_cast<double>(dt_rank_));
  dt_proj_.weight =
      register_parameter("dt_proj.weight", init::uniform({d_inner_, dt_rank_}, -bound, bound));
  dt_proj_.bias = register_parameter("dt_proj.bias", initial_dt_bias(options, d_inner_));
  const auto rates = at::arange(1, d_state_ + 1, at::kFloat).log();
  A_log_ = register_parameter("A_log", rates.expand({d_inner_, d_state_}).contiguous());
  D_ = register_parameter("D", at::ones({d_inner_}));
  out_proj_ = make_linear("out_proj", d_inner_, d_model_, bias_, out_init_scale_);
}

NamedTensors Mamba1::project(const Tensor& x, MixerContext& context) {
  check_input(x);
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  const auto both = in_proj_(x).split(d_inner_, 2);
  const auto u = convolve(both[0], documents, context.state);
  const auto parts = x_proj_(u).split_with_sizes({dt_rank_, d_state_, d_state_}, 2);
  const auto delta = at::linear(parts[0].to(dt_proj_.weight.scalar_type()), dt_proj_.weight);
  return {{"u", u}, {"delta", delta}, {"B", parts[1]}, {"C", parts[2]}, {"z", both[1]}};
}

Layer::Mixed Mamba1::mix(const NamedTensors& f, const std::optional<Tensor>& state,
                         const Tensor& cu_seqlens) const {
  auto [y, after] = ops::selective_scan(feature(f, "u"), feature(f, "delta"), rates(),
                                        feature(f, "B"), feature(f, "C"), D_, feature(f, "z"),
                                        dt_proj_.bias, true, state, if_defined(cu_seqlens));
  return {y, after};
}

Recurrent::Scan Mamba1::scan(const NamedTensors& f, const Memory& memory,
                             const Tensor& cu_seqlens) {
  auto [y, after] = ops::selective_scan(in_compute_dtype(feature(f, "u")), feature(f, "delta"),
                                        rates(), feature(f, "B"), feature(f, "C"), {}, {},
                                        dt_proj_.bias, true, memory[0], if_defined(cu_seqlens));
  return {y, {after}};
}

// sum_n C_t[n] h[e, n] for each memory.
Tensor Mamba1::read(const NamedTensors& f, const Memory& memories) {
  const auto c = in_compute_dtype(feature(f, "C"));
  const auto& h = memories[0];  // [rows, n, d_inner, d_state]
  const auto reads = at::matmul(c, h.flatten(1, 2).transpose(1, 2));
  return in_compute_dtype(reads).unflatten(2, {h.size(1), d_inner_});  // autocast gives bfloat16
}

Tensor Mamba1::queries(const NamedTensors& f) {
  return feature(f, "C");
}

Tensor Mamba1::keys(const NamedTensors& f) {
  return feature(f, "B");
}

Tensor Mamba1::finish(const Tensor& read, const NamedTensors& f, MixerContext& context) {
  const auto skip = in_compute_dtype(D_) * in_compute_dtype(feature(f, "u"));
  const auto gate = at::silu(in_compute_dtype(feature(f, "z")));
  return project_out((read + skip) * gate, context);
}

}  // namespace gamut::mamba
