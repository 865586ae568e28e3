// gamut::rms_norm and gamut::l2_norm: checks, autograd, and the division of the rows among threads.
#include "ops/norm/norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/device.h"
#include "ops/double_backward.h"
#include "ops/norm/device.h"
#include "ops/norm/kernel.h"
#include "ops/rows.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTaskElements = 16384;

Tensor composed(const NormInputs& in) {
  if (in.is_l2) return l2_norm_reference(in.x, in.eps, in.clamp);
  return rms_norm_reference(in.x, if_defined(in.weight), in.eps, if_defined(in.gate), in.gate_first,
                            in.group_size);
}

// The inputs in the types and layouts of the kernel, kept alive, and the tasks: fixed blocks of
// rows, so that sums do not depend on the number of threads.
struct Prepared {
  Rows x, gate;
  Tensor weight;
  int64_t rows, block;
  NormArguments arguments{};

  explicit Prepared(const NormInputs& in) : x(rows_of(in.x)) {
    const int64_t d = in.x.size(-1);
    rows = in.x.numel() / d;
    block = std::max<int64_t>(1, kTaskElements / d);
    if (in.gate.defined()) gate = rows_of(in.gate);
    if (in.weight.defined()) weight = in.weight.to(sum_type(in.x)).contiguous();
    auto& a = arguments;
    a.element = a.gate_element = element_of(in.x);
    a.size = in.group_size;
    a.groups = d / in.group_size;
    a.eps = in.eps;
    a.divisor = in.is_l2 ? 1 : static_cast<double>(in.group_size);
    a.gate_first = in.gate_first;
    a.clamp = in.clamp;
    a.x = x.data();
    a.x_stride = x.stride;
    a.weight = data_or_null(weight);
    if (!in.gate.defined()) return;
    a.gate_element = element_of(in.gate);
    a.gate = gate.data();
    a.gate_stride = gate.stride;
  }

  int64_t tasks() const { return (rows + block - 1) / block; }

  // Calls run(task, arguments) for every task, on all threads.
  template <class Run>
  void each(const Run& run) const {
    at::parallel_for(0, tasks(), 1, [&](int64_t from, int64_t to) {
      std::vector<double> scratch(2 * arguments.size);
      auto a = arguments;
      a.scratch = scratch.data();
      for (int64_t task = from; task < to; ++task) {
        a.begin = task * block;
        a.end = std::min(rows, a.begin + block);
        run(task, a);
      }
    });
  }
};

const cuda::KernelTable* kernels_of(const NormInputs& in) {
  return device_kernels({in.x, in.weight, in.gate});
}

struct Normal {
  Tensor y, scale;
};

Normal run_forward(const NormInputs& in) {
  // Those kernels compute the scale again.
  if (const auto* kernels = kernels_of(in)) return {normalize_on_device(*kernels, in), Tensor()};
  Prepared prepared(in);
  auto& a = prepared.arguments;
  const auto y = at::empty(in.x.sizes(), in.x.options());
  const auto scale = at::empty({prepared.rows, a.groups}, in.x.options().dtype(sum_type(in.x)));
  a.y = y.mutable_data_ptr();
  a.scale = scale.mutable_data_ptr();
  prepared.each([](int64_t, const NormArguments& mine) { norm_forward(mine); });
  return {y, scale};
}

// Gradients of x, weight and gate.
variable_list run_backward(const NormInputs& in, const Tensor& scale, const Tensor& given) {
  if (!scale.defined()) {
    auto [dx, d_weight, d_gate] = norm_gradients_on_device(*kernels_of(in), in, given);
    return {dx, d_weight, d_gate};
  }
  Prepared prepared(in);
  auto& a = prepared.arguments;
  const auto dy = rows_of(given.to(in.x.scalar_type()));
  const auto dx = at::empty(in.x.sizes(), in.x.options());
  const auto d_gate = in.gate.defined() ? at::empty(in.gate.sizes(), in.gate.options()) : Tensor();
  const auto parts = in.weight.defined()
                         ? at::zeros({prepared.tasks(), in.x.size(-1)}, prepared.weight.options())
                         : Tensor();
  a.scale = scale.data_ptr();
  a.dy = dy.data();
  a.dy_stride = dy.stride;
  a.dx = dx.mutable_data_ptr();
  a.d_gate = data_or_null_mutable(d_gate);
  auto* first = static_cast<char*>(data_or_null_mutable(parts));
  const auto row = parts.defined() ? parts.size(1) * static_cast<int64_t>(parts.element_size()) : 0;
  prepared.each([&](int64_t task, NormArguments& mine) {
    mine.d_weight = first + task * row;
    norm_backward(mine);
  });
  return {dx, parts.defined() ? parts.sum(0).to(in.weight.scalar_type()) : Tensor(), d_gate};
}

struct Norm : torch::autograd::Function<Norm> {
  // The tensors are those of `in`, for autograd to see.
  static Tensor forward(AutogradContext* context, const Tensor& x,
                        const std::optional<Tensor>& /*weight*/,
                        const std::optional<Tensor>& /*gate*/, const NormInputs& in) {
    const auto [y, scale] = run_forward(in);
    context->save_for_backward({x, in.weight, in.gate, scale});
    auto& kept = context->saved_data;
    kept["eps"] = in.eps;
    kept["gate_first"] = in.gate_first;
    kept["group_size"] = in.group_size;
    kept["is_l2"] = in.is_l2;
    kept["clamp"] = in.clamp;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    auto& kept = context->saved_data;
    const NormInputs in{saved[0],
                        saved[1],
                        saved[2],
                        kept["eps"].toDouble(),
                        kept["gate_first"].toBool(),
                        kept["group_size"].toInt(),
                        kept["is_l2"].toBool(),
                        kept["clamp"].toBool()};
    variable_list result;
    if (at::GradMode::is_enabled()) {
      const Composed f = [&](const std::vector<Tensor>& t) -> std::vector<Tensor> {
        auto moved = in;
        moved.x = t[0], moved.weight = t[1], moved.gate = t[2];
        return {composed(moved)};
      };
      result = differentiable_gradients(f, {in.x, in.weight, in.gate}, grads);
    } else {
      result = run_backward(in, saved[3], grads[0]);
    }
    result.resize(4);
    return result;
  }
};

bool is_fused(const NormInputs& in) {
  if (in.x.numel() > 0 && kernels_of(in)) return true;
  const auto fits = [](const Tensor& t) {
    return !t.defined() || (t.device().is_cpu() && has_element(t.scalar_type()));
  };
  // A gate may be wider or narrower than x among the types whose sums are float32.
  return in.x.numel() > 0 && fits(in.x) && fits(in.weight) && fits(in.gate) &&
         (!in.gate.defined() || sum_type(in.gate) == sum_type(in.x));
}

bool needs_gradient(const NormInputs& in) {
  const auto needs = [](const Tensor& t) { return t.defined() && t.requires_grad(); };
  return at::GradMode::is_enabled() && (needs(in.x) || needs(in.weight) || needs(in.gate));
}

Tensor normalize(const NormInputs& in) {
  if (!is_fused(in)) return composed(in);
  if (!needs_gradient(in)) return run_forward(in).y;
  return Norm::apply(in.x, if_defined(in.weight), if_defined(in.gate), in);
}

void check_input(const Tensor& x, double eps, const char* name) {
  GAMUT_CHECK(x.dim() > 0, name, ": x has no dimension to normalise over");
  GAMUT_CHECK(x.is_floating_point(), name, ": x must be a floating-point tensor, not ",
              x.scalar_type());
  GAMUT_CHECK(eps >= 0, name, ": eps = ", eps, " must be 0 or more");
}

}  // namespace

Tensor rms_norm(const Tensor& x, const std::optional<Tensor>& weight, double eps,
                const std::optional<Tensor>& gate, bool gate_first,
                std::optional<int64_t> group_size) {
  check_input(x, eps, "rms_norm");
  const int64_t d = x.size(-1), size = group_size.value_or(d);
  const Tensor w = or_undefined(weight), z = or_undefined(gate);
  GAMUT_CHECK(!w.defined() || (w.dim() == 1 && w.size(0) == d), "rms_norm: the weight must be [", d,
              "], as the last dimension of x ", x.sizes(), "; it is ",
              w.defined() ? w.sizes() : at::IntArrayRef());
  GAMUT_CHECK(!z.defined() || z.sizes() == x.sizes(), "rms_norm: the gate must be ", x.sizes(),
              " as x; it is ", z.defined() ? z.sizes() : at::IntArrayRef());
  GAMUT_CHECK(z.defined() || !gate_first, "rms_norm: gate_first needs a gate");
  GAMUT_CHECK((size > 0 && d % size == 0) || (d == 0 && !group_size),
              "rms_norm: group_size = ", size, " must divide the last dimension of x, ", d);
  return normalize({x, w, z, eps, gate_first, size, false});
}

Tensor l2_norm(const Tensor& x, double eps, bool clamp) {
  check_input(x, eps, "l2_norm");
  return normalize({x, Tensor(), Tensor(), eps, false, x.size(-1), true, clamp});
}

}  // namespace gamut::ops
