// Mamba-2; see README.md for the equations.
#include "mamba2.h"

#include <ATen/ATen.h>
#include <gamut/init.h>
#include <gamut/ops.h>

namespace gamut::mamba {

using at::Tensor;

namespace {

int64_t integer_or(const Options& options, const char* name, int64_t otherwise) {
  return options.has(name) ? options.integer(name) : otherwise;
}

}  // namespace

// Draws follow the order of registration.
Mamba2::Mamba2(const Options& options)
    : Layer(options, 128),
      head_dim_(integer_or(options, "head_dim", 64)),
      n_heads_(d_inner_ / head_dim_),
      n_groups_(integer_or(options, "n_groups", 1)),
      chunk_size_(integer_or(options, "chunk_size", 0)),
      norm_before_gate_(options.has("norm_before_gate") && options.boolean("norm_before_gate")),
      norm_eps_(options.has("norm_eps") ? options.number("norm_eps") : 1e-5) {
  GAMUT_CHECK(n_heads_ * head_dim_ == d_inner_, "head_dim = ", head_dim_,
              " must divide expand * d_model = ", d_inner_);
  GAMUT_CHECK(n_heads_ % n_groups_ == 0, "n_groups = ", n_groups_, " must divide the ", n_heads_,
              " heads of expand * d_model / head_dim");
  const int64_t mixed = d_inner_ + 2 * n_groups_ * d_state_;
  in_proj_ = make_linear("in_proj", d_model_, d_inner_ + mixed + n_heads_, bias_);
  make_convolution(mixed);
  make_heads(options);
  norm_ = register_parameter("norm.weight", at::ones({d_inner_}));
  out_proj_ = make_linear("out_proj", d_inner_, d_model_, bias_, out_init_scale_);
}

void Mamba2::make_heads(const Options& options) {
  const auto range =
      options.has("A_init_range") ? options.numbers("A_init_range") : std::vector<double>{1, 16};
  GAMUT_CHECK(range.size() == 2 && range[0] > 0 && range[0] <= range[1],
              "A_init_range must be two numbers above 0, the smaller one first");
  dt_bias_ = register_parameter("dt_bias", initial_dt_bias(options, n_heads_));
  A_log_ = register_parameter("A_log", init::uniform({n_heads_}, range[0], range[1]).log_());
  D_ = register_parameter("D", at::ones({n_heads_}));
}

NamedTensors Mamba2::project(const Tensor& x, MixerContext& context) {
  check_input(x);
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  const int64_t width = n_groups_ * d_state_;
  const auto parts = in_proj_(x).split_with_sizes({d_inner_, d_inner_ + 2 * width, n_heads_}, 2);
  const auto mixed =
      convolve(parts[1], documents, context.state).split_with_sizes({d_inner_, width, width}, 2);
  return {{"x", mixed[0].unflatten(2, {n_heads_, head_dim_})},
          {"dt", parts[2]},
          {"B", mixed[1].unflatten(2, {n_groups_, d_state_})},
          {"C", mixed[2].unflatten(2, {n_groups_, d_state_})},
          {"z", parts[0]}};
}

Layer::Mixed Mamba2::mix(const NamedTensors& f, const std::optional<Tensor>& state,
                         const Tensor& cu_seqlens) const {
  const auto [y, after] =
      ops::ssd(feature(f, "x"), feature(f, "dt"), rates(), feature(f, "B"), feature(f, "C"), D_,
               dt_bias_, true, state, if_defined(cu_seqlens), chunk_size_);
  return {gated_norm(y.flatten(2), feature(f, "z")), after};
}

Recurrent::Scan Mamba2::scan(const NamedTensors& f, const Memory& memory,
                             const Tensor& cu_seqlens) {
  const auto [y, after] =
      ops::ssd(in_compute_dtype(feature(f, "x")), feature(f, "dt"), rates(), feature(f, "B"),
               feature(f, "C"), {}, dt_bias_, true, memory[0], if_defined(cu_seqlens), chunk_size_);
  return {y, {after}};
}

// H_i C_t for each memory H_i; the heads of a group read with the same C.
Tensor Mamba2::read(const NamedTensors& f, const Memory& memories) {
  const auto c = in_compute_dtype(feature(f, "C")).transpose(1, 2);  // [rows, groups, time, state]
  const auto& h = memories[0];  // [rows, n, heads, head_dim, state]
  const auto by_group = h.unflatten(2, {n_groups_, n_heads_ / n_groups_})
                            .transpose(1, 2)  // [rows, groups, n, heads of it, head_dim, state]
                            .flatten(2, 4);
  return in_compute_dtype(at::matmul(c, by_group.transpose(2, 3)))  // autocast gives bfloat16
      .unflatten(3, {h.size(1), n_heads_ / n_groups_, head_dim_})
      .permute({0, 2, 3, 1, 4, 5})  // [rows, time, n, groups, heads of it, head_dim]
      .flatten(3, 4);
}

Tensor Mamba2::queries(const NamedTensors& f) {
  return feature(f, "C").flatten(2);
}

Tensor Mamba2::keys(const NamedTensors& f) {
  return feature(f, "B").flatten(2);
}

Tensor Mamba2::finish(const Tensor& read, const NamedTensors& f, MixerContext& context) {
  const auto skip = in_compute_dtype(D_).unsqueeze(-1) * in_compute_dtype(feature(f, "x"));
  return project_out(gated_norm((read + skip).flatten(2), feature(f, "z")), context);
}

Tensor Mamba2::gated_norm(const Tensor& y, const Tensor& z) const {
  return ops::rms_norm(y, norm_, norm_eps_, z, !norm_before_gate_, d_inner_ / n_groups_);
}

}  // namespace gamut::mamba
