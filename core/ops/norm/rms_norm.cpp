// gamut::rms_norm(x, weight, eps): x / sqrt(mean(x^2) + eps) * weight over the last dimension.
//
// LibTorch 2.11 composes this of six operators on the CPU, and its backward of a dozen. Here each
// direction reads its inputs once: one pass a row forward, one a row backward. Other devices and
// types go to LibTorch's own.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "ops/norm/rms_norm.h"

namespace gamut::ops {
namespace {

using at::Tensor;

// Rows that one task takes; fixed, so that sums do not depend on the number of threads.
constexpr int64_t kRows = 64;
constexpr int64_t kLanes = 16;  // partial sums, for the compiler to keep in vector registers

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  T lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += a[i + j] * b[i + j];
  }
  T sum = 0;
  for (; i < n; ++i) sum += a[i] * b[i];
  for (T lane : lanes) sum += lane;
  return sum;
}

// y = x r w and r = 1 / sqrt(mean(x^2) + eps) for rows [from, to).
template <class T>
void forward_rows(const T* x, const T* w, T* y, T* r, int64_t from, int64_t to, int64_t d, T eps) {
  for (int64_t row = from; row < to; ++row) {
    const T* in = x + row * d;
    T* out = y + row * d;
    const T scale = 1 / std::sqrt(dot(in, in, d) / static_cast<T>(d) + eps);
    r[row] = scale;
    if (w) {
      for (int64_t i = 0; i < d; ++i) out[i] = in[i] * scale * w[i];
    } else {
      for (int64_t i = 0; i < d; ++i) out[i] = in[i] * scale;
    }
  }
}

// With g = dy w: dx = r g - x r^3 mean(g x). Adds dy x r to dw, the caller's partial sum.
template <class T>
void backward_rows(const T* dy, const T* x, const T* w, const T* r, T* dx, T* dw, T* g,
                   int64_t from, int64_t to, int64_t d) {
  for (int64_t row = from; row < to; ++row) {
    const T* in = x + row * d;
    const T* grad = dy + row * d;
    T* out = dx + row * d;
    const T scale = r[row];
    for (int64_t i = 0; i < d; ++i) g[i] = w ? grad[i] * w[i] : grad[i];
    const T mean = dot(g, in, d) / static_cast<T>(d) * scale * scale * scale;
    for (int64_t i = 0; i < d; ++i) out[i] = scale * g[i] - mean * in[i];
    if (!w) continue;
    for (int64_t i = 0; i < d; ++i) dw[i] += grad[i] * in[i] * scale;
  }
}

template <class T>
const T* data_or_null(const Tensor& t) {
  return t.defined() ? t.const_data_ptr<T>() : nullptr;
}

template <class T>
std::pair<Tensor, Tensor> forward_of(const Tensor& x, const Tensor& weight, double eps) {
  const int64_t d = x.size(-1), rows = x.numel() / d;
  Tensor y = at::empty_like(x), r = at::empty({rows}, x.options());
  const T *in = x.const_data_ptr<T>(), *w = data_or_null<T>(weight);
  T *out = y.mutable_data_ptr<T>(), *scales = r.mutable_data_ptr<T>();
  at::parallel_for(0, rows, kRows, [&](int64_t from, int64_t to) {
    forward_rows(in, w, out, scales, from, to, d, static_cast<T>(eps));
  });
  return {y, r};
}

template <class T>
std::pair<Tensor, Tensor> backward_of(const Tensor& dy, const Tensor& x, const Tensor& weight,
                                      const Tensor& r) {
  const int64_t d = x.size(-1), rows = x.numel() / d, tasks = (rows + kRows - 1) / kRows;
  Tensor dx = at::empty_like(x);
  Tensor partial = weight.defined() ? at::zeros({tasks, d}, x.options()) : Tensor();
  const T *grad = dy.const_data_ptr<T>(), *in = x.const_data_ptr<T>();
  const T *w = data_or_null<T>(weight), *scales = r.const_data_ptr<T>();
  T* out = dx.mutable_data_ptr<T>();
  T* sums = partial.defined() ? partial.mutable_data_ptr<T>() : nullptr;
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    std::vector<T> scratch(d);
    for (int64_t task = first; task < last; ++task) {
      backward_rows(grad, in, w, scales, out, sums ? sums + task * d : nullptr, scratch.data(),
                    task * kRows, std::min(rows, (task + 1) * kRows), d);
    }
  });
  return {dx, partial.defined() ? partial.sum(0) : Tensor()};
}

// The same from LibTorch's operators: for gradients of gradients.
std::pair<Tensor, Tensor> backward_composed(const Tensor& dy, const Tensor& x, const Tensor& weight,
                                            double eps) {
  const Tensor scale = (x.square().mean({-1}, true) + eps).rsqrt();
  const Tensor g = weight.defined() ? dy * weight : dy;
  const Tensor dx = scale * g - x * scale.pow(3) * (g * x).mean({-1}, true);
  if (!weight.defined()) return {dx, Tensor()};
  return {dx, (dy * x * scale).reshape({-1, x.size(-1)}).sum(0)};
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const std::optional<Tensor>& weight, double eps) {
    const Tensor w = weight.value_or(Tensor());
    const bool is_double = x.scalar_type() == at::kDouble;
    auto [y, r] = is_double ? forward_of<double>(x, w, eps) : forward_of<float>(x, w, eps);
    context->save_for_backward({x, w, r});
    context->saved_data["eps"] = eps;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &w = saved[1], &r = saved[2];
    std::pair<Tensor, Tensor> result;
    if (at::GradMode::is_enabled()) {
      result = backward_composed(grads[0], x, w, context->saved_data["eps"].toDouble());
    } else {
      const Tensor dy = grads[0].contiguous();
      result = x.scalar_type() == at::kDouble ? backward_of<double>(dy, x, w, r)
                                              : backward_of<float>(dy, x, w, r);
    }
    return {result.first, result.second, Tensor()};
  }
};

bool is_fused(const Tensor& x, const std::optional<Tensor>& weight) {
  const bool known = x.device().is_cpu() && x.layout() == at::kStrided && x.numel() > 0 &&
                     (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble);
  if (!known || !weight || !weight->defined()) return known;
  return weight->scalar_type() == x.scalar_type() && weight->device().is_cpu() &&
         weight->is_contiguous();
}

}  // namespace

Tensor rms_norm(const Tensor& x, const std::optional<Tensor>& weight, double eps) {
  TORCH_CHECK(x.dim() > 0, "rms_norm: x has no dimension to normalise over");
  const int64_t d = x.size(-1);
  TORCH_CHECK(!weight || !weight->defined() || (weight->dim() == 1 && weight->size(0) == d),
              "rms_norm: the weight must be [", d, "], as the last dimension of x ", x.sizes(),
              "; it is ", weight ? weight->sizes() : at::IntArrayRef());
  if (!is_fused(x, weight)) return at::rms_norm(x, {d}, weight, eps);
  return RmsNorm::apply(x.contiguous(), weight, eps);
}

}  // namespace gamut::ops
