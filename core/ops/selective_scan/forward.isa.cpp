// The scan forward: chunk by chunk through time, in a chunk one register of channels after another,
// so that what a chunk reads lies close together. States stay in the scratch memory of the task.
#include "ops/selective_scan/strip.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

// Some states of a strip through the steps of a chunk; adds C h to y.
template <class S, int kGroup>
void advance(const SelectiveScanArguments& a, const ScanChunk& chunk, int64_t state, const S* rates,
             S* h, const S* delta, const S* x, S* y) {
  using V = Vec<S>;
  constexpr int64_t width = kLanes<S>;
  V hs[kGroup], as[kGroup];
  for (int i = 0; i < kGroup; ++i) {
    as[i] = load(rates + (state + i) * width);
    hs[i] = load(h + (state + i) * width);
  }
  const S* B = static_cast<const S*>(a.B) + chunk.begin * a.padded_states + state;
  const S* C = static_cast<const S*>(a.C) + chunk.begin * a.padded_states + state;
  for (int64_t t = 0; t < chunk.end - chunk.begin; ++t) {
    const V d = load(delta + t * width), in = load(x + t * width);
    V read = load(y + t * width);
    for (int i = 0; i < kGroup; ++i) {
      hs[i] = exp2_of_product(d, as[i]) * hs[i] + in * B[i];
      read += hs[i] * C[i];
    }
    store(y + t * width, read);
    B += a.padded_states;
    C += a.padded_states;
  }
  for (int i = 0; i < kGroup; ++i) store(h + (state + i) * width, hs[i]);
}

template <class E>
class Forward {
  using S = typename Strip<E>::S;
  using V = typename Strip<E>::V;
  static constexpr int64_t kWidth = Strip<E>::kWidth;

 public:
  explicit Forward(const SelectiveScanArguments& arguments)
      : a_(arguments), blocks_((arguments.n_channels + kWidth - 1) / kWidth) {
    S* next = static_cast<S*>(a_.scratch);
    const auto part = [&](int64_t size) {
      S* const found = next;
      next += size;
      return found;
    };
    rates_ = part(kScanChannels * a_.padded_states);
    h_ = part(kScanChannels * a_.padded_states);
    delta_ = part(kScanSteps * kWidth);
    x_ = part(kScanSteps * kWidth);
    y_ = part(kScanSteps * kWidth);
    for (int64_t b = 0; b < blocks_; ++b) Strip<E>(a_, b).take_rates(rates_ + at(b));
  }

  void run() {
    for (int64_t i = 0; i < a_.n_chunks; ++i) {
      for (int64_t b = 0; b < blocks_; ++b) run(a_.chunks[i], b);
    }
  }

 private:
  int64_t at(int64_t block) const { return block * kWidth * a_.padded_states; }

  void run(const ScanChunk& chunk, int64_t block) {
    const Strip<E> strip(a_, block);
    S* h = h_ + at(block);
    if (chunk.is_first) {
      strip.take_matrix(a_.initial_state, chunk.document, h);
    } else if (a_.checkpoints) {
      S* kept = strip.checkpoint(chunk.checkpoint);
      for (int64_t k = 0; k < a_.padded_states; ++k) store(kept + k * kWidth, load(h + k * kWidth));
    }
    prepare(strip, chunk);
    int64_t state = 0;
    for (; state + 8 <= a_.padded_states; state += 8) {
      advance<S, 8>(a_, chunk, state, rates_ + at(block), h, delta_, x_, y_);
    }
    if (state < a_.padded_states) {
      advance<S, kScanGroup>(a_, chunk, state, rates_ + at(block), h, delta_, x_, y_);
    }
    finish(strip, chunk);
    if (chunk.is_last) strip.put_matrix(a_.final_state, chunk.document, h);
  }

  void prepare(const Strip<E>& strip, const ScanChunk& chunk) {
    const V bias = strip.take_vector(a_.delta_bias), skip = strip.take_vector(a_.D);
    for (int64_t t = chunk.begin, i = 0; t < chunk.end; ++t, i += kWidth) {
      const V u = strip.take_row(a_.u, t, a_.u_stride), d = strip.step_size(t, bias).value;
      store(delta_ + i, d);
      store(x_ + i, d * u);
      store(y_ + i, skip * u);
      strip.prefetch(a_.u, t, a_.u_stride, kWidth);
      strip.prefetch(a_.delta, t, a_.delta_stride, kWidth);
      if (a_.z) strip.prefetch(a_.z, t, a_.z_stride, 0);
      strip.prefetch_to_write(a_.out, t);
    }
  }

  void finish(const Strip<E>& strip, const ScanChunk& chunk) {
    for (int64_t t = chunk.begin, i = 0; t < chunk.end; ++t, i += kWidth) {
      V y = load(y_ + i);
      if (a_.z) y *= silu(strip.take_row(a_.z, t, a_.z_stride));
      strip.put_row(a_.out, t, y);
    }
  }

  const SelectiveScanArguments& a_;
  const int64_t blocks_;
  S *rates_, *h_;       // of each block [padded_states][kWidth]
  S *delta_, *x_, *y_;  // of the block at hand [kScanSteps][kWidth]
};

}  // namespace

void selective_scan_forward(const SelectiveScanArguments& a) {
  switch (a.element) {
    case Element::float32:
      return Forward<float>(a).run();
    case Element::bfloat16:
      return Forward<BFloat16>(a).run();
    case Element::float64:
      return Forward<double>(a).run();
  }
}

}  // namespace gamut::ops::GAMUT_ISA
