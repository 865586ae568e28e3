// The scan of one step, as decoding takes it. Lanes are the states of a channel, so that A and the
// state are read and written as they lie.
#include "ops/selective_scan/strip.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class E>
class Step {
  using S = typename Strip<E>::S;
  using V = typename Strip<E>::V;
  static constexpr int64_t kWidth = Strip<E>::kWidth;

 public:
  explicit Step(const SelectiveScanArguments& arguments) : a_(arguments) {}

  void run() const {
    for (int64_t i = 0; i < a_.n_chunks; ++i) {
      for (int64_t b = 0; b * kWidth < a_.n_channels; ++b) run(a_.chunks[i], Strip<E>(a_, b));
    }
  }

 private:
  void run(const ScanChunk& chunk, const Strip<E>& strip) const {
    const int64_t t = chunk.begin;
    const V u = strip.take_row(a_.u, t, a_.u_stride);
    const V d = strip.step_size(t, strip.take_vector(a_.delta_bias)).value;
    S delta[kWidth], x[kWidth], read[kWidth];
    store(delta, d * static_cast<S>(kLog2E));
    store(x, d * u);
    for (int64_t lane = 0; lane < strip.n; lane += kScanGroup) {
      V sums[kScanGroup] = {};
      for (int64_t i = 0; i < kScanGroup && lane + i < strip.n; ++i) {
        sums[i] = advance(chunk, strip.c + lane + i, delta[lane + i], x[lane + i]);
      }
      put_sums(read + lane, quarter_sums(sums));
    }
    V y = strip.take(read) + strip.take_vector(a_.D) * u;
    if (a_.z) y *= silu(strip.take_row(a_.z, t, a_.z_stride));
    strip.put_row(a_.out, t, y);
  }

  // One channel; the lanes of the result sum to C h.
  V advance(const ScanChunk& chunk, int64_t channel, S delta, S x) const {
    const int64_t at = (chunk.document * a_.channels + channel) * a_.states;
    const S* A = static_cast<const S*>(a_.A) + channel * a_.states;
    const S* B = static_cast<const S*>(a_.B) + chunk.begin * a_.padded_states;
    const S* C = static_cast<const S*>(a_.C) + chunk.begin * a_.padded_states;
    const S* before = a_.initial_state ? static_cast<const S*>(a_.initial_state) + at : nullptr;
    S* after = static_cast<S*>(a_.final_state) + at;
    V read{};
    int64_t k = 0;
    for (; k + kWidth <= a_.states; k += kWidth) {
      const V h = next(load(A + k), before ? load(before + k) : V{}, load(B + k), delta, x);
      read += h * load(C + k);
      store(after + k, h);
    }
    if (k == a_.states) return read;
    const int n = static_cast<int>(a_.states - k);
    const V h = next(load_first(A + k, n), before ? load_first(before + k, n) : V{},
                     load_first(B + k, n), delta, x);
    store_first(after + k, h, n);
    return read + h * load_first(C + k, n);
  }

  static V next(V A, V h, V B, S delta, S x) {
    return exp2_of_product(splat(delta), A) * h + B * x;
  }

  const SelectiveScanArguments& a_;
};

}  // namespace

void selective_scan_step(const SelectiveScanArguments& a) {
  switch (a.element) {
    case Element::float32:
      return Step<float>(a).run();
    case Element::bfloat16:
      return Step<BFloat16>(a).run();
    case Element::float64:
      return Step<double>(a).run();
  }
}

}  // namespace gamut::ops::GAMUT_ISA
