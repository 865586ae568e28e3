// The activations, a register of elements at a time.
#include "ops/activation/kernel.h"

#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

using Arguments = ActivationArguments;

template <class T>
const T* row(const void* p, int64_t i, int64_t stride) {
  return static_cast<const T*>(p) + i * stride;
}
template <class T>
T* row(void* p, int64_t i, int64_t stride) {
  return static_cast<T*>(p) + i * stride;
}

// Calls step(at, load, store) for every register of a row: `load` and `store` take whole registers,
// and in the last step what is left of one.
template <class T, class Step>
GAMUT_INLINE void each_register(int64_t d, const Step& step) {
  constexpr int lanes = sizeof(load(static_cast<const T*>(nullptr))) /
                        sizeof(load_one(static_cast<const T*>(nullptr)));
  int64_t i = 0;
  for (; i + lanes <= d; i += lanes) {
    step([i](const T* p) { return load(p + i); }, [i](T* p, auto v) { store(p + i, v); });
  }
  const int left = static_cast<int>(d - i);
  if (left == 0) return;
  step([i, left](const T* p) { return load_first(p + i, left); },
       [i, left](T* p, auto v) { store_first(p + i, v, left); });
}

template <class T>
void swiglu_forward(const Arguments& a) {
  for (int64_t r = a.begin; r < a.end; ++r) {
    const T *gate = row<T>(a.x, r, a.x_stride), *up = row<T>(a.up, r, a.up_stride);
    T* y = row<T>(a.y, r, a.d);
    each_register<T>(a.d,
                     [=](const auto& get, const auto& put) { put(y, silu(get(gate)) * get(up)); });
  }
}

// With s = sigmoid(g): d silu(g) / dg = s (1 + g (1 - s)).
template <class T>
void swiglu_backward(const Arguments& a) {
  for (int64_t r = a.begin; r < a.end; ++r) {
    const T *gate = row<T>(a.x, r, a.x_stride), *up = row<T>(a.up, r, a.up_stride);
    const T* dy = row<T>(a.dy, r, a.dy_stride);
    T *d_gate = row<T>(a.dx, r, a.d), *d_up = row<T>(a.d_up, r, a.d);
    each_register<T>(a.d, [=](const auto& get, const auto& put) {
      const auto g = get(gate), grad = get(dy);
      const auto s = sigmoid(g);
      put(d_up, grad * (g * s));
      put(d_gate, grad * get(up) * (s * (1 + g * (1 - s))));
    });
  }
}

template <class V>
GAMUT_INLINE V relu(V x) {
  return x < 0 ? V{} : x;  // NaN stays NaN
}

template <class T>
void relu_squared_forward(const Arguments& a) {
  for (int64_t r = a.begin; r < a.end; ++r) {
    const T* x = row<T>(a.x, r, a.x_stride);
    T* y = row<T>(a.y, r, a.d);
    each_register<T>(a.d, [=](const auto& get, const auto& put) {
      const auto u = relu(get(x));
      put(y, u * u);
    });
  }
}

template <class T>
void relu_squared_backward(const Arguments& a) {
  for (int64_t r = a.begin; r < a.end; ++r) {
    const T *x = row<T>(a.x, r, a.x_stride), *dy = row<T>(a.dy, r, a.dy_stride);
    T* dx = row<T>(a.dx, r, a.d);
    each_register<T>(
        a.d, [=](const auto& get, const auto& put) { put(dx, 2 * relu(get(x)) * get(dy)); });
  }
}

template <class T>
void forward(const Arguments& a) {
  a.kind == Activation::swiglu ? swiglu_forward<T>(a) : relu_squared_forward<T>(a);
}
template <class T>
void backward(const Arguments& a) {
  a.kind == Activation::swiglu ? swiglu_backward<T>(a) : relu_squared_backward<T>(a);
}

}  // namespace

void activation_forward(const ActivationArguments& a) {
  switch (a.element) {
    case Element::float32:
      return forward<float>(a);
    case Element::bfloat16:
      return forward<BFloat16>(a);
    case Element::float64:
      return forward<double>(a);
  }
}

void activation_backward(const ActivationArguments& a) {
  switch (a.element) {
    case Element::float32:
      return backward<float>(a);
    case Element::bfloat16:
      return backward<BFloat16>(a);
    case Element::float64:
      return backward<double>(a);
  }
}

}  // namespace gamut::ops::GAMUT_ISA
