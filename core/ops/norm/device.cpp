#include "ops/norm/device.h"

#include <ATen/ATen.h>

#include "ops/device.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;

namespace {

const char* name_of(const NormInputs& in) {
  return in.is_l2 ? "l2_norm" : "rms_norm";
}

// The inputs as the kernels take them, kept alive.
struct Prepared {
  Rows x, gate;
  Tensor weight;
  cuda::NormArgs args{};

  explicit Prepared(const NormInputs& in) : x(rows_of(in.x)) {
    const int64_t d = in.x.size(-1);
    args.element = args.gate_element = args.weight_element = device_element(in.x);
    args.rows = in.x.numel() / d;
    args.groups = d / in.group_size;
    args.size = in.group_size;
    args.eps = static_cast<float>(in.eps);
    args.share = in.is_l2 ? 1.0F : 1.0F / static_cast<float>(in.group_size);
    args.clamp = in.clamp;
    args.gate_first = in.gate_first;
    args.x = x.data();
    args.x_stride = x.stride;
    if (in.weight.defined()) {
      weight = in.weight.contiguous();
      args.weight = weight.const_data_ptr();
      args.weight_element = device_element(weight);
    }
    if (in.gate.defined()) {
      gate = rows_of(in.gate);
      args.gate = gate.data();
      args.gate_stride = gate.stride;
      args.gate_element = device_element(in.gate);
    }
  }
};

}  // namespace

Tensor normalize_on_device(const cuda::KernelTable& kernels, const NormInputs& in) {
  Prepared prepared(in);
  const auto y = at::empty(in.x.sizes(), in.x.options());
  prepared.args.y = y.mutable_data_ptr();
  call(kernels.norm_forward, prepared.args, in.x, name_of(in));
  return y;
}

std::tuple<Tensor, Tensor, Tensor> norm_gradients_on_device(const cuda::KernelTable& kernels,
                                                            const NormInputs& in,
                                                            const Tensor& dy) {
  Prepared prepared(in);
  auto& args = prepared.args;
  const auto given = rows_of(dy.to(in.x.scalar_type()));
  const auto like = [](const Tensor& t) {
    return t.defined() ? at::empty(t.sizes(), t.options()) : Tensor();
  };
  const auto dx = like(in.x), d_weight = like(in.weight), d_gate = like(in.gate);
  Tensor parts;
  if (in.weight.defined()) {
    parts = at::empty({cuda::norm_parts(args.rows, args.groups), in.x.size(-1)},
                      in.x.options().dtype(at::kFloat));
    args.parts = parts.mutable_data_ptr<float>();
  }
  args.dy = given.data();
  args.dy_stride = given.stride;
  args.dx = dx.mutable_data_ptr();
  args.d_weight = data_or_null_mutable(d_weight);
  args.d_gate = data_or_null_mutable(d_gate);
  call(kernels.norm_backward, args, in.x, name_of(in));
  return {dx, d_weight, d_gate};
}

}  // namespace gamut::ops
