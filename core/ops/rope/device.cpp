#include "ops/rope/device.h"

#include <ATen/ATen.h>

#include "ops/device.h"
#include "ops/rope/steps.h"

namespace gamut::ops {

using at::Tensor;

namespace {

// The inputs as the kernels take them, kept alive.
struct Prepared {
  Rows x;
  Tensor cos, sin, weight, gain;
  cuda::RopeArgs args{};

  explicit Prepared(const RopeInputs& in) : x(steps_of(in.x)) {
    cos = in.cos.to(at::kFloat).contiguous();
    sin = in.sin.to(at::kFloat).contiguous();
    args.element = args.weight_element = args.gain_element = device_element(in.x);
    args.steps = in.steps();
    args.heads = in.x.size(2);
    args.head_dim = in.x.size(3);
    args.pairs = cos.size(-1);
    args.interleaved = in.interleaved;
    args.normalize = in.eps.has_value();
    args.eps = static_cast<float>(in.eps.value_or(0));
    args.x = x.data();
    args.x_stride = x.stride;
    args.cos = cos.const_data_ptr<float>();
    args.sin = sin.const_data_ptr<float>();
    args.table_steps = cos.dim() == 2 ? in.x.size(1) : in.steps();
    if (in.weight.defined()) {
      weight = in.weight.contiguous();
      args.weight = weight.const_data_ptr();
      args.weight_element = device_element(weight);
    }
    if (in.gain.defined()) {
      gain = in.gain.contiguous();
      args.gain = gain.const_data_ptr();
      args.gain_element = device_element(gain);
    }
  }
};

}  // namespace

Tensor rotate_on_device(const cuda::KernelTable& kernels, const RopeInputs& in) {
  Prepared prepared(in);
  const auto y = at::empty(in.x.sizes(), in.x.options());
  prepared.args.y = y.mutable_data_ptr();
  call(kernels.rope_forward, prepared.args, in.x, "rope");
  return y;
}

std::tuple<Tensor, Tensor, Tensor> rope_gradients_on_device(const cuda::KernelTable& kernels,
                                                            const RopeInputs& in,
                                                            const Tensor& dy) {
  Prepared prepared(in);
  auto& args = prepared.args;
  const auto given = steps_of(dy.to(in.x.scalar_type()));
  const auto like = [](const Tensor& t) {
    return t.defined() ? at::empty(t.sizes(), t.options()) : Tensor();
  };
  const auto dx = like(in.x), d_weight = like(in.weight), d_gain = like(in.gain);
  Tensor parts;
  if (in.weight.defined() || in.gain.defined()) {
    parts = at::empty({cuda::rope_parts(args.heads), args.head_dim + args.heads},
                      in.x.options().dtype(at::kFloat));
    args.parts = parts.mutable_data_ptr<float>();
  }
  args.dy = given.data();
  args.dy_stride = given.stride;
  args.dx = dx.mutable_data_ptr();
  args.d_weight = data_or_null_mutable(d_weight);
  args.d_gain = data_or_null_mutable(d_gain);
  call(kernels.rope_backward, args, in.x, "rope");
  return {dx, d_weight, d_gain};
}

}  // namespace gamut::ops
