// Norm, rotation and gain of one head after the other, each read from memory once and kept in L1.
//
// Both pairings are one formula, y = h c + partner(h) s, with c and s spread over the channels: the
// partner of a channel is the other of its pair, c is 1 and s is 0 where nothing turns. The
// transposed rotation is the same with -s.
#include "ops/rope/kernel.h"

#include "ops/simd/sum_of.h"
#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

// (1, 0, 3, 2, ...)
template <class V>
GAMUT_INLINE V swap_neighbours(V v) {
  constexpr int lanes = sizeof(V) / sizeof(v[0]);
  if constexpr (lanes == 16) {
    return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  } else if constexpr (lanes == 8) {
    return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
  } else {
    return __builtin_shufflevector(v, v, 1, 0, 3, 2);
  }
}

template <class T>
class Rope {
  using S = typename SumOf<T>::type;
  using V = Vec<S>;
  static constexpr int kStep = kLanes<S>;
  // Room for loads and stores of whole registers past the end.
  static constexpr int kRoom = kRopeMaxDim + 2 * kVectorBytes / static_cast<int>(sizeof(S));

 public:
  explicit Rope(const RopeArguments& arguments)
      : a_(arguments), d_(static_cast<int>(arguments.head_dim)) {
    for (int i = 0; i < d_ + kStep; ++i) {
      weight_[i] = a_.weight && i < d_ ? static_cast<const S*>(a_.weight)[i] : S(1);
      h_[i] = g_[i] = partner_[i] = d_weight_[i] = 0;
    }
  }

  void forward() {
    for (int64_t step = a_.begin; step < a_.end; ++step) {
      read_angles(step, S(1));
      for (int64_t head = 0; head < a_.heads; ++head) {
        const S r = read_head(x(step, head));
        for (int i = 0; i < d_; i += kStep) store(h_ + i, load(h_ + i) * r * load(weight_ + i));
        rotate(h_);
        const S gain = gain_of(head);
        T* out = static_cast<T*>(a_.y) + (step * a_.heads + head) * d_;
        for (int i = 0; i < d_; i += kStep) put(out, i, load(h_ + i) * gain);
      }
    }
  }

  void backward() {
    for (int64_t step = a_.begin; step < a_.end; ++step) {
      read_angles(step, S(-1));
      for (int64_t head = 0; head < a_.heads; ++head) backward(step, head);
    }
    if (!a_.d_weight) return;
    for (int i = 0; i < d_; ++i) static_cast<S*>(a_.d_weight)[i] = d_weight_[i];
  }

 private:
  const T* x(int64_t step, int64_t head) const {
    return static_cast<const T*>(a_.x) + step * a_.x_stride + head * d_;
  }
  S gain_of(int64_t head) const { return a_.gain ? static_cast<const S*>(a_.gain)[head] : S(1); }

  V take(const T* p, int i) const {
    return d_ - i >= kStep ? load(p + i) : load_first(p + i, d_ - i);
  }
  void put(T* p, int i, V v) const {
    if (d_ - i >= kStep) return store(p + i, v);
    store_first(p + i, v, d_ - i);
  }

  // c_ and s_ of a step, the sines times `sign`.
  void read_angles(int64_t step, S sign) {
    const int n = static_cast<int>(a_.pairs);
    const int64_t row = step % a_.table_steps * n;
    const S *c = static_cast<const S*>(a_.cos) + row, *s = static_cast<const S*>(a_.sin) + row;
    for (int j = 0; j < n; ++j) {
      const int first = a_.interleaved ? 2 * j : j, second = a_.interleaved ? 2 * j + 1 : j + n;
      c_[first] = c_[second] = c[j];
      s_[first] = -sign * s[j];
      s_[second] = sign * s[j];
    }
    for (int i = 2 * n; i < d_ + kStep; ++i) {
      c_[i] = 1;
      s_[i] = 0;
    }
  }

  // A head into h_; returns 1 / rms, or 1 without a norm.
  S read_head(const T* p) {
    V squares{};
    for (int i = 0; i < d_; i += kStep) {
      const V v = take(p, i);
      store(h_ + i, v);
      squares += v * v;
    }
    if (!a_.normalize) return 1;
    const S mean = sum(squares) / static_cast<S>(d_) + static_cast<S>(a_.eps);
    if constexpr (sizeof(S) == sizeof(double)) {
      return 1 / __builtin_sqrt(mean);
    } else {
      return 1 / __builtin_sqrtf(mean);
    }
  }

  void rotate(S* h) {
    if (a_.interleaved) {
      for (int i = 0; i < d_; i += kStep) {
        const V v = load(h + i);
        store(h + i, v * load(c_ + i) + swap_neighbours(v) * load(s_ + i));
      }
      return;
    }
    // Whole registers: what the first loop writes too far, the second one corrects.
    const int n = static_cast<int>(a_.pairs);
    for (int j = 0; j < n; j += kStep) store(partner_ + j, load(h + n + j));
    for (int j = 0; j < n; j += kStep) store(partner_ + n + j, load(h + j));
    for (int i = 0; i < d_; i += kStep) {
      store(h + i, load(h + i) * load(c_ + i) + load(partner_ + i) * load(s_ + i));
    }
  }

  // With u = R^T dy and h = x r w: d_gain = <u, h>, d_weight = gain u x r, and with g = gain u w
  // dx = r g - x r^3 mean(g x).
  void backward(int64_t step, int64_t head) {
    const T* dy = static_cast<const T*>(a_.dy) + step * a_.dy_stride + head * d_;
    for (int i = 0; i < d_; i += kStep) store(g_ + i, take(dy, i));
    rotate(g_);
    const S r = read_head(x(step, head)), gain = gain_of(head);
    V d_gain{}, product{};
    for (int i = 0; i < d_; i += kStep) {
      const V u = load(g_ + i), h = load(h_ + i) * r, w = load(weight_ + i);
      d_gain += u * h * w;
      store(d_weight_ + i, load(d_weight_ + i) + u * h * gain);
      const V g = u * w * gain;
      product += g * h;
      store(g_ + i, g);
    }
    if (a_.d_gain) static_cast<S*>(a_.d_gain)[head] += sum(d_gain);
    const S mean = a_.normalize ? sum(product) / static_cast<S>(d_) : S(0);
    T* out = static_cast<T*>(a_.dx) + (step * a_.heads + head) * d_;
    for (int i = 0; i < d_; i += kStep) {
      put(out, i, (load(g_ + i) - load(h_ + i) * r * mean) * r);
    }
  }

  const RopeArguments& a_;
  const int d_;
  S c_[kRoom], s_[kRoom], weight_[kRoom];
  S h_[kRoom], g_[kRoom], partner_[kRoom], d_weight_[kRoom];
};

}  // namespace

void rope_forward(const RopeArguments& a) {
  switch (a.element) {
    case Element::float32:
      return Rope<float>(a).forward();
    case Element::bfloat16:
      return Rope<BFloat16>(a).forward();
    case Element::float64:
      return Rope<double>(a).forward();
  }
}

void rope_backward(const RopeArguments& a) {
  switch (a.element) {
    case Element::float32:
      return Rope<float>(a).backward();
    case Element::bfloat16:
      return Rope<BFloat16>(a).backward();
    case Element::float64:
      return Rope<double>(a).backward();
  }
}

}  // namespace gamut::ops::GAMUT_ISA
