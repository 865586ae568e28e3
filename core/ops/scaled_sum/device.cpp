#include "ops/scaled_sum/device.h"

#include <ATen/ATen.h>

#include "ops/device.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;

namespace {

// The inputs as the kernels take them, kept alive.
struct Prepared {
  Rows x, y;
  Tensor a, b;
  cuda::ScaledSumArgs args{};

  explicit Prepared(const ScaledSumInputs& in) : x(rows_of(in.x)), y(rows_of(in.y)) {
    args.element = args.a_element = args.b_element = device_element(in.x);
    args.d = in.x.size(-1);
    args.rows = in.x.numel() / args.d;
    args.x = x.data();
    args.x_stride = x.stride;
    args.y = y.data();
    args.y_stride = y.stride;
    if (in.a.defined()) {
      a = in.a.contiguous();
      args.a = a.const_data_ptr();
      args.a_element = device_element(a);
    }
    if (in.b.defined()) {
      b = in.b.contiguous();
      args.b = b.const_data_ptr();
      args.b_element = device_element(b);
    }
  }
};

}  // namespace

Tensor scaled_sum_on_device(const cuda::KernelTable& kernels, const ScaledSumInputs& in) {
  Prepared prepared(in);
  const auto z = at::empty(in.x.sizes(), in.x.options());
  prepared.args.z = z.mutable_data_ptr();
  call(kernels.scaled_sum_forward, prepared.args, in.x, "scaled_sum");
  return z;
}

ScaledSumInputs scaled_sum_gradients_on_device(const cuda::KernelTable& kernels,
                                               const ScaledSumInputs& in, const Tensor& dz,
                                               bool wants_x, bool wants_y) {
  Prepared prepared(in);
  auto& args = prepared.args;
  const auto given = rows_of(dz);
  const auto like = [](const Tensor& t, bool is_wanted) {
    return is_wanted && t.defined() ? at::empty(t.sizes(), t.options()) : Tensor();
  };
  ScaledSumInputs d{like(in.x, wants_x), like(in.y, wants_y), like(in.a, true), like(in.b, true)};
  Tensor parts;
  if (in.a.defined() || in.b.defined()) {
    parts = at::empty({cuda::scaled_sum_parts(args.rows), 2 * args.d},
                      in.x.options().dtype(at::kFloat));
    args.parts = parts.mutable_data_ptr<float>();
  }
  args.dz = given.data();
  args.dz_stride = given.stride;
  args.dx = data_or_null_mutable(d.x);
  args.dy = data_or_null_mutable(d.y);
  args.d_a = data_or_null_mutable(d.a);
  args.d_b = data_or_null_mutable(d.b);
  call(kernels.scaled_sum_backward, args, in.x, "scaled_sum");
  return d;
}

}  // namespace gamut::ops
