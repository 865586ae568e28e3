// The norms, one group of one row at a time: each direction reads it twice, the second time from
// cache.
#include "ops/norm/kernel.h"

#include "ops/simd/sum_of.h"
#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

using Arguments = NormArguments;

enum class Gate { none, before, after };

// X is the element of x, G that of the gate.
template <class X, class G, Gate kGate>
class Norm {
  using S = typename SumOf<X>::type;
  using V = Vec<S>;
  static constexpr int64_t kWidth = kLanes<S>;

 public:
  explicit Norm(const Arguments& arguments) : a_(arguments) {}

  void forward() {
    for (int64_t row = a_.begin; row < a_.end; ++row) {
      for (int64_t group = 0; group < a_.groups; ++group) forward(row, group);
    }
  }

  void backward() {
    for (int64_t row = a_.begin; row < a_.end; ++row) {
      for (int64_t group = 0; group < a_.groups; ++group) backward(row, group);
    }
  }

 private:
  template <class E>
  static const E* at(const void* p, int64_t offset) {
    return p ? static_cast<const E*>(p) + offset : nullptr;
  }
  template <class E>
  static E* at(void* p, int64_t offset) {
    return p ? static_cast<E*>(p) + offset : nullptr;
  }
  template <class E>
  static V take(const E* p, int64_t n) {
    return n >= kWidth ? load(p) : load_first(p, static_cast<int>(n));
  }
  template <class E>
  static void put(E* p, V v, int64_t n) {
    if (n >= kWidth) return store(p, v);
    store_first(p, v, static_cast<int>(n));
  }
  // The sum over a group, from four partial sums in flight.
  template <class Term>
  V total(const Term& term) const {
    V sums[4] = {};
    int64_t i = 0;
    for (; i + 4 * kWidth <= a_.size; i += 4 * kWidth) {
      for (int64_t j = 0; j < 4; ++j) sums[j] += term(i + j * kWidth, kWidth);
    }
    for (; i < a_.size; i += kWidth) sums[0] += term(i, a_.size - i);
    return splat(sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
  }

  // The arrays of one group of one row.
  struct Group {
    const X *x, *dy;
    const G* gate;
    const S* weight;
    X *y, *dx;
    G* d_gate;
    S *d_weight, *scale;

    Group(const Arguments& a, int64_t row, int64_t group) {
      const int64_t column = group * a.size, place = row * a.groups * a.size + column;
      x = at<X>(a.x, row * a.x_stride + column);
      dy = at<X>(a.dy, row * a.dy_stride + column);
      gate = at<G>(a.gate, row * a.gate_stride + column);
      weight = at<S>(a.weight, column);
      y = at<X>(a.y, place);
      dx = at<X>(a.dx, place);
      d_gate = at<G>(a.d_gate, place);
      d_weight = at<S>(a.d_weight, column);
      scale = at<S>(a.scale, row * a.groups + group);
    }
    // What is normalised.
    V u(int64_t i, int64_t n) const {
      const V in = take(x + i, n);
      return kGate == Gate::before ? in * silu(V(take(gate + i, n))) : in;
    }
  };

  void forward(int64_t row, int64_t group) const {
    const Group g(a_, row, group);
    auto* const kept = static_cast<S*>(a_.scratch);  // u, where it costs an exponential
    const V squares = total([&](int64_t i, int64_t n) {
      const V u = g.u(i, n);
      if (kGate == Gate::before) put(kept + i, u, n);
      return u * u;
    });
    const S r = scale_of(squares[0] / static_cast<S>(a_.divisor));
    *g.scale = r;
    for (int64_t i = 0; i < a_.size; i += kWidth) {
      const int64_t n = a_.size - i;
      V y = (kGate == Gate::before ? take(kept + i, n) : take(g.x + i, n)) * r;
      if (g.weight) y *= take(g.weight + i, n);
      if (kGate == Gate::after) y *= silu(V(take(g.gate + i, n)));
      put(g.y + i, y, n);
    }
  }

  S scale_of(S mean_square) const {
    const S eps = static_cast<S>(a_.eps);
    if (!a_.clamp) return 1 / __builtin_sqrt(mean_square + eps);
    const S root = __builtin_sqrt(mean_square);
    return 1 / (root < eps ? eps : root);
  }

  // dy silu(gate) (or dy) is what reaches x r weight.
  void backward(int64_t row, int64_t group) const {
    const Group g(a_, row, group);
    const S r = *g.scale;
    auto* const d_normal = static_cast<S*>(a_.scratch);  // gradient of u r
    auto* const gate_s = d_normal + a_.size;             // sigmoid(gate)
    const V dot = total([&](int64_t i, int64_t n) {
      const V in = take(g.x + i, n);
      V normal = in * r, d = take(g.dy + i, n);
      const V w = g.weight ? take(g.weight + i, n) : splat(S(1));
      if (kGate != Gate::none) {
        const V gate = take(g.gate + i, n), s = sigmoid(gate), open = gate * s;
        if (kGate == Gate::before) {
          normal *= open;
          put(gate_s + i, s, n);
        } else {
          put(g.d_gate + i, d * normal * w * (s * (1 + gate * (1 - s))), n);
          d *= open;
        }
      }
      if (g.weight) put(g.d_weight + i, take(g.d_weight + i, n) + d * normal, n);
      d *= w;
      put(d_normal + i, d, n);
      return d * normal;
    });
    // A clamped r does not depend on x.
    const bool constant = a_.clamp && r == 1 / static_cast<S>(a_.eps);
    const S mean = constant ? 0 : dot[0] / static_cast<S>(a_.divisor);
    for (int64_t i = 0; i < a_.size; i += kWidth) {
      const int64_t n = a_.size - i;
      const V in = take(g.x + i, n), d = take(d_normal + i, n);
      if (kGate != Gate::before) {
        put(g.dx + i, (d - in * r * mean) * r, n);
        continue;
      }
      const V gate = take(g.gate + i, n), s = take(gate_s + i, n), open = gate * s;
      const V du = (d - in * open * r * mean) * r;
      put(g.dx + i, du * open, n);
      put(g.d_gate + i, du * in * (s * (1 + gate * (1 - s))), n);
    }
  }

  const Arguments& a_;
};

template <class X, class G>
void run(const Arguments& a, bool is_backward) {
  const auto go = [&](auto norm) { is_backward ? norm.backward() : norm.forward(); };
  if (!a.gate) return go(Norm<X, G, Gate::none>(a));
  a.gate_first ? go(Norm<X, G, Gate::before>(a)) : go(Norm<X, G, Gate::after>(a));
}

void of_element(const Arguments& a, bool is_backward) {
  const bool narrow_gate = a.gate_element == Element::bfloat16;
  switch (a.element) {
    case Element::float64:
      return run<double, double>(a, is_backward);
    case Element::float32:
      return narrow_gate ? run<float, BFloat16>(a, is_backward) : run<float, float>(a, is_backward);
    case Element::bfloat16:
      return narrow_gate ? run<BFloat16, BFloat16>(a, is_backward)
                         : run<BFloat16, float>(a, is_backward);
  }
}

}  // namespace

void norm_forward(const Arguments& a) {
  of_element(a, false);
}

void norm_backward(const Arguments& a) {
  of_element(a, true);
}

}  // namespace gamut::ops::GAMUT_ISA
