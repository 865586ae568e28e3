#include "ops/activation/device.h"

#include <ATen/ATen.h>

#include "ops/device.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;

namespace {

// The inputs as the kernels take them, kept alive.
struct Prepared {
  Rows x, up;
  cuda::ActivationArgs args{};

  Prepared(const Tensor& gate, const Tensor& other) : x(rows_of(gate)) {
    args.element = device_element(gate);
    args.d = gate.size(-1);
    args.rows = gate.numel() / args.d;
    args.x = x.data();
    args.x_stride = x.stride;
    if (!other.defined()) return;
    up = rows_of(other);
    args.up = up.data();
    args.up_stride = up.stride;
  }
};

}  // namespace

Tensor activate_on_device(const cuda::KernelTable& kernels, const Tensor& x, const Tensor& up) {
  Prepared prepared(x, up);
  const auto y = at::empty(x.sizes(), x.options());
  prepared.args.y = y.mutable_data_ptr();
  call(kernels.activation_forward, prepared.args, x, up.defined() ? "swiglu" : "relu_squared");
  return y;
}

std::tuple<Tensor, Tensor> activation_gradients_on_device(const cuda::KernelTable& kernels,
                                                          const Tensor& x, const Tensor& up,
                                                          const Tensor& dy) {
  Prepared prepared(x, up);
  auto& args = prepared.args;
  const auto given = rows_of(dy.to(x.scalar_type()));
  const auto dx = at::empty(x.sizes(), x.options());
  const auto d_up = up.defined() ? at::empty(x.sizes(), x.options()) : Tensor();
  args.dy = given.data();
  args.dy_stride = given.stride;
  args.dx = dx.mutable_data_ptr();
  args.d_up = data_or_null_mutable(d_up);
  call(kernels.activation_backward, args, x, up.defined() ? "swiglu" : "relu_squared");
  return {dx, d_up};
}

}  // namespace gamut::ops
