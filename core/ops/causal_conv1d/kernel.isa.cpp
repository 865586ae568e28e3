// The convolution, one register of channels at a time: it goes through all pieces of the task with
// the inputs in float32 (or float64) on the stack, so that every input is read from memory once.
#include "ops/causal_conv1d/kernel.h"

#include "ops/simd/sum_of.h"
#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

using Arguments = CausalConv1dArguments;

// Channels [c, c + n) of the task. kWidth 0: the width is known when it runs.
template <class T, int kWidth>
class Strip {
  using S = typename SumOf<T>::type;
  using V = Vec<S>;
  static constexpr int kMost = kWidth ? kWidth : kConvMaxWidth;

 public:
  Strip(const Arguments& arguments, int64_t channel)
      : a_(arguments),
        c_(channel),
        n_(static_cast<int>(arguments.channels - channel < kLanes<S> ? arguments.channels - channel
                                                                     : kLanes<S>)) {
    read_taps();
    bias_ = a_.bias ? take(row<S>(a_.bias, 0)) : V{};
  }

  void forward() {
    for (int64_t i = 0; i < a_.n_pieces; ++i) forward(a_.pieces[i]);
  }

  void backward() {
    for (int j = 0; j < width(); ++j) d_taps_[j] = V{};
    d_bias_ = V{};
    for (int64_t i = 0; i < a_.n_pieces; ++i) backward(a_.pieces[i]);
    for (int j = 0; j < width(); ++j) put(row<S>(a_.d_taps, j), d_taps_[j]);
    put(row<S>(a_.d_bias, 0), d_bias_);
  }

 private:
  int width() const { return kWidth ? kWidth : static_cast<int>(a_.width); }

  // Row i of a contiguous [.., channels], at this strip's channels.
  template <class E>
  const E* row(const void* p, int64_t i) const {
    return static_cast<const E*>(p) + i * a_.channels + c_;
  }
  template <class E>
  E* row(void* p, int64_t i) const {
    return static_cast<E*>(p) + i * a_.channels + c_;
  }
  template <class E>
  V take(const E* p) const {
    return n_ == kLanes<S> ? load(p) : load_first(p, n_);
  }
  template <class E>
  void put(E* p, V v) const {
    if (n_ == kLanes<S>) return store(p, v);
    store_first(p, v, n_);
  }

  // They lie channel by channel, as layers keep them.
  void read_taps() {
    const S* const first = static_cast<const S*>(a_.taps) + c_ * width();
    for (int j = 0; j < width(); ++j) {
      S lanes[kLanes<S>] = {};
      for (int i = 0; i < n_; ++i) lanes[i] = first[i * width() + j];
      taps_[j] = load(lanes);
    }
  }

  // x_[i] is the input at step begin - (width - 1) + i, up to step `end`.
  void read_inputs(const ConvPiece& piece, int64_t end) {
    const int64_t back = width() - 1;
    int64_t step = piece.begin - back;
    int i = 0;
    for (; step < piece.document_begin; ++step, ++i) {
      const int64_t kept = piece.document * back + back + step - piece.document_begin;
      x_[i] = a_.initial_state ? take(row<S>(a_.initial_state, kept)) : V{};
    }
    for (; step < end; ++step, ++i) {
      x_[i] = take(static_cast<const T*>(a_.x) + step * a_.x_stride + c_);
    }
  }

  // The sum before SiLU at step begin + i.
  V convolve(int i) const {
    V u = bias_;
    for (int j = 0; j < width(); ++j) u += taps_[j] * x_[i + j];
    return u;
  }

  void forward(const ConvPiece& piece) {
    read_inputs(piece, piece.end);
    const int steps = static_cast<int>(piece.end - piece.begin), back = width() - 1;
    for (int i = 0; i < steps; ++i) {
      const V u = convolve(i);
      put(row<T>(a_.y, piece.begin + i), a_.silu ? silu(u) : u);
    }
    if (piece.end != piece.document_end) return;
    for (int j = 0; j < back; ++j) {
      put(row<S>(a_.final_state, piece.document * back + j), x_[steps + j]);
    }
  }

  // u_[i] is the gradient of the sum at step begin + i, as far as a gradient of this piece needs.
  void differentiate_sums(const ConvPiece& piece) {
    const int64_t reach = piece.end + width() - 1;
    const int64_t last = reach < piece.document_end ? reach : piece.document_end;
    read_inputs(piece, last);
    const int steps = static_cast<int>(last - piece.begin);
    for (int i = 0; i < steps; ++i) {
      V d = take(static_cast<const T*>(a_.dy) + (piece.begin + i) * a_.dy_stride + c_);
      if (a_.silu) {
        const V u = convolve(i), s = sigmoid(u);
        d *= s * (1 + u * (1 - s));
      }
      u_[i] = d;
    }
    for (int64_t i = steps; i < reach - piece.begin; ++i) u_[i] = V{};
  }

  void backward(const ConvPiece& piece) {
    differentiate_sums(piece);
    const int steps = static_cast<int>(piece.end - piece.begin), back = width() - 1;
    for (int i = 0; i < steps; ++i) {
      V d{};
      for (int j = 0; j < width(); ++j) d += taps_[j] * u_[i + back - j];
      const int64_t kept = back - (piece.document_end - piece.begin - i);
      if (kept >= 0 && a_.d_final_state) {
        d += take(row<S>(a_.d_final_state, piece.document * back + kept));
      }
      put(row<T>(a_.dx, piece.begin + i), d);
      d_bias_ += u_[i];
      for (int j = 0; j < width(); ++j) d_taps_[j] += u_[i] * x_[i + j];
    }
    if (piece.begin == piece.document_begin && a_.d_initial_state) differentiate_state(piece);
  }

  void differentiate_state(const ConvPiece& piece) const {
    const int back = width() - 1;
    const int64_t length = piece.document_end - piece.document_begin;
    for (int k = 0; k < back; ++k) {
      V d{};
      for (int j = 0; j <= k; ++j) d += taps_[j] * u_[k - j];
      // What a short document leaves of the state is in its final state too.
      if (k >= length && a_.d_final_state) {
        d += take(row<S>(a_.d_final_state, piece.document * back + k - length));
      }
      put(row<S>(a_.d_initial_state, piece.document * back + k), d);
    }
  }

  const Arguments& a_;
  const int64_t c_;
  const int n_;
  V taps_[kMost], d_taps_[kMost], bias_, d_bias_;
  V x_[kConvSteps + 2 * (kMost - 1)], u_[kConvSteps + kMost - 1];
};

template <class T, int kWidth>
void run(const Arguments& a, bool is_backward) {
  constexpr int lanes = kLanes<typename SumOf<T>::type>;
  for (int64_t c = 0; c < a.channels; c += lanes) {
    Strip<T, kWidth> strip(a, c);
    is_backward ? strip.backward() : strip.forward();
  }
}

template <class T>
void of_width(const Arguments& a, bool is_backward) {
  a.width == 4 ? run<T, 4>(a, is_backward) : run<T, 0>(a, is_backward);
}

void of_element(const Arguments& a, bool is_backward) {
  switch (a.element) {
    case Element::float32:
      return of_width<float>(a, is_backward);
    case Element::bfloat16:
      return of_width<BFloat16>(a, is_backward);
    case Element::float64:
      return of_width<double>(a, is_backward);
  }
}

}  // namespace

void causal_conv1d_forward(const Arguments& a) {
  of_element(a, false);
}

void causal_conv1d_backward(const Arguments& a) {
  of_element(a, true);
}

}  // namespace gamut::ops::GAMUT_ISA
