#include "ops/causal_conv1d/device.h"

#include <ATen/ATen.h>

#include "ops/device.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;

namespace {

bool is_aligned(const Rows& rows) {
  const auto size = static_cast<int64_t>(rows.tensor.element_size());
  return reinterpret_cast<uintptr_t>(rows.data()) % 16 == 0 && rows.stride * size % 16 == 0;
}

// Rows as the kernels read them fastest; a copy only where it has to be.
Rows rows_for(const CausalConv1dInputs& in, const Tensor& x) {
  auto rows = rows_of(x);
  if (in.head_dim == 0 || is_aligned(rows)) return rows;
  return {x.clone(at::MemoryFormat::Contiguous), x.size(-1)};
}

// Heads of whole packs of 16 bytes, or some of them together, that fit a block.
bool can_normalize(const CausalConv1dInputs& in) {
  const int64_t pack = 16 / static_cast<int64_t>(in.x.element_size()), channels = in.x.size(2);
  return in.weight.size(-1) == 4 && in.head_dim >= pack && in.head_dim <= 256 &&
         channels % in.head_dim == 0 && channels % pack == 0;
}

// The inputs as the kernels take them, kept alive.
struct Prepared {
  Rows x;
  Tensor taps, bias, initial_state, offsets;
  Documents documents;
  cuda::CausalConv1dArgs args{};

  explicit Prepared(const CausalConv1dInputs& in)
      : x(rows_for(in, in.x)), documents(in.documents()) {
    taps = in.weight.contiguous();
    if (in.bias.defined()) bias = in.bias.to(taps.scalar_type()).contiguous();
    if (in.initial_state.defined()) initial_state = in.initial_state.to(at::kFloat).contiguous();
    offsets = documents.cu_seqlens();
    if (offsets.defined()) offsets = offsets.to(in.x.device());
    args.element = device_element(in.x);
    args.weight_element = device_element(taps);
    args.steps = in.x.size(0) * in.x.size(1);
    args.channels = in.x.size(2);
    args.width = taps.size(-1);
    args.silu = in.silu;
    args.offsets = static_cast<const int64_t*>(data_or_null(offsets));
    args.documents = documents.size();
    args.time = documents.time();
    args.head_dim = in.head_dim;
    args.eps = static_cast<float>(in.eps);
    args.clamp = in.clamp;
    args.x = x.data();
    args.x_stride = x.stride;
    args.taps = taps.const_data_ptr();
    args.bias = data_or_null(bias);
    args.initial_state = static_cast<const float*>(data_or_null(initial_state));
  }
};

}  // namespace

const cuda::KernelTable* conv_kernels(const CausalConv1dInputs& in) {
  if (in.head_dim > 0 && !can_normalize(in)) return nullptr;
  return device_kernels({in.x, in.weight, in.bias, in.initial_state});
}

std::tuple<Tensor, Tensor> convolve_on_device(const cuda::KernelTable& kernels,
                                              const CausalConv1dInputs& in) {
  Prepared prepared(in);
  auto& args = prepared.args;
  const auto y = at::empty(in.x.sizes(), in.x.options());
  const auto final_state =
      at::empty({args.documents, args.width - 1, args.channels}, in.x.options().dtype(at::kFloat));
  args.y = y.mutable_data_ptr();
  args.final_state = final_state.mutable_data_ptr<float>();
  call(kernels.causal_conv1d_forward, args, in.x, "causal_conv1d");
  return {y, final_state};
}

std::vector<Tensor> conv_gradients_on_device(const cuda::KernelTable& kernels,
                                             const CausalConv1dInputs& in, const Tensor& dy,
                                             const Tensor& d_final) {
  Prepared prepared(in);
  auto& args = prepared.args;
  const auto sums = in.x.options().dtype(at::kFloat);
  const auto given = rows_for(in, dy.defined() ? dy.to(in.x.scalar_type()) : at::zeros_like(in.x));
  const auto d_last = d_final.defined() ? d_final.to(at::kFloat).contiguous() : Tensor();
  const auto dx = at::empty(in.x.sizes(), in.x.options());
  const auto d_taps = at::empty(in.weight.sizes(), in.weight.options());
  const auto d_bias = in.bias.defined() ? at::empty_like(prepared.bias) : Tensor();
  const auto d_initial =
      in.initial_state.defined() ? at::empty(in.initial_state.sizes(), sums) : Tensor();
  const auto parts = at::empty(
      {cuda::causal_conv1d_parts(args.steps, args.channels), args.channels * (args.width + 1)},
      sums);
  args.dy = given.data();
  args.dy_stride = given.stride;
  args.d_final_state = static_cast<const float*>(data_or_null(d_last));
  args.dx = dx.mutable_data_ptr();
  args.d_taps = d_taps.mutable_data_ptr();
  args.d_bias = data_or_null_mutable(d_bias);
  args.d_initial_state = static_cast<float*>(data_or_null_mutable(d_initial));
  args.parts = parts.mutable_data_ptr<float>();
  call(kernels.causal_conv1d_backward, args, in.x, "causal_conv1d");
  return {dx, d_taps, d_bias.defined() ? d_bias.to(in.bias.scalar_type()) : Tensor(),
          d_initial.defined() ? d_initial.to(in.initial_state.scalar_type()) : Tensor()};
}

}  // namespace gamut::ops
