// The scan backward: chunk by chunk from the end, states and decays of a chunk recomputed from the
// state kept before it. With g_t the gradient of h_t, a_t = exp(delta_t A), x = delta u:
//
//     g_t = C_t dy_t + a_{t+1} g_{t+1}      p_t = a_t g_t h_{t-1}
//     dC_t = sum_e dy_t h_t                 dB_t = sum_e x_t g_t
//     d delta_t = u_t sum_n B_t g_t + sum_n A p_t      du_t = D dy_t + delta_t sum_n B_t g_t
//     dA = sum_t delta_t p_t                dh_0 = a_1 g_1
//
// Four states go through a chunk together: their decays and states then fit the first cache.
#include "ops/selective_scan/strip.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

constexpr int kGroup = kScanGroup;

// What the passes over one strip and one chunk share, [kScanSteps][width] each.
template <class S>
struct Steps {
  S *delta, *slope, *x, *gate, *dy, *y, *sum_b, *sum_a;
};

// Decays and states of four states through a chunk. kReads: adds C h to y.
template <class S, bool kReads>
void recompute(const S* B, const S* C, int64_t stride, int64_t count, const Vec<S>* rates,
               const Steps<S>& steps, S* decays, S* states) {
  constexpr int64_t width = kLanes<S>;
  Vec<S> h[kGroup];
  for (int i = 0; i < kGroup; ++i) h[i] = load(states + i * width);
  for (int64_t t = 0; t < count; ++t, B += stride, C += stride) {
    const Vec<S> d = load(steps.delta + t * width), x = load(steps.x + t * width);
    S* decay = decays + t * kGroup * width;
    S* state = states + (t + 1) * kGroup * width;
    Vec<S> read{};
    for (int i = 0; i < kGroup; ++i) {
      const Vec<S> a = exp2_of_product(d, rates[i]);
      h[i] = a * h[i] + x * B[i];
      if (kReads) read += h[i] * C[i];
      store(decay + i * width, a);
      store(state + i * width, h[i]);
    }
    if (kReads) store(steps.y + t * width, load(steps.y + t * width) + read);
  }
}

// The same chunk from its end. `carried` is a g of the step after; sums over channels are added to
// b_sums and c_sums in the form of quarter_sums.
template <class S>
void reverse(const S* B, const S* C, int64_t stride, int64_t count, const Vec<S>* rates,
             const Steps<S>& steps, const S* decays, const S* states, Vec<S>* carried,
             Vec<S>* rate_sums, S* b_sums, S* c_sums) {
  constexpr int64_t width = kLanes<S>;
  B += (count - 1) * stride;
  C += (count - 1) * stride;
  for (int64_t t = count - 1; t >= 0; --t, B -= stride, C -= stride) {
    const Vec<S> d = load(steps.delta + t * width), x = load(steps.x + t * width);
    const Vec<S> dy = load(steps.dy + t * width);
    const S *decay = decays + t * kGroup * width, *before = states + t * kGroup * width;
    const S* after = before + kGroup * width;
    Vec<S> sum_b = load(steps.sum_b + t * width), sum_a = load(steps.sum_a + t * width);
    Vec<S> b_terms[kGroup], c_terms[kGroup];
    for (int i = 0; i < kGroup; ++i) {
      const Vec<S> g = carried[i] + dy * C[i];
      c_terms[i] = dy * load(after + i * width);
      b_terms[i] = x * g;
      sum_b += g * B[i];
      carried[i] = load(decay + i * width) * g;
      const Vec<S> p = carried[i] * load(before + i * width);
      sum_a += rates[i] * p;
      rate_sums[i] += d * p;
    }
    store(steps.sum_b + t * width, sum_b);
    store(steps.sum_a + t * width, sum_a);
    store(b_sums + t * width, load(b_sums + t * width) + quarter_sums(b_terms));
    store(c_sums + t * width, load(c_sums + t * width) + quarter_sums(c_terms));
  }
}

template <class E>
class Backward {
  using S = typename Strip<E>::S;
  using V = typename Strip<E>::V;
  static constexpr int64_t kWidth = Strip<E>::kWidth;
  static constexpr int64_t kBlocks = kScanChannels / kWidth;

 public:
  explicit Backward(const SelectiveScanArguments& arguments)
      : a_(arguments), blocks_((arguments.n_channels + kWidth - 1) / kWidth) {
    S* next = static_cast<S*>(a_.scratch);
    const auto part = [&](int64_t size) {
      S* const found = next;
      next += size;
      return found;
    };
    rates_ = part(kScanChannels * a_.padded_states);
    carried_ = part(kScanChannels * a_.padded_states);
    rate_sums_ = part(kScanChannels * a_.padded_states);
    steps_.delta = part(kScanSteps * kWidth);
    steps_.slope = part(kScanSteps * kWidth);
    steps_.x = part(kScanSteps * kWidth);
    steps_.gate = part(kScanSteps * kWidth);
    steps_.dy = part(kScanSteps * kWidth);
    steps_.y = part(kScanSteps * kWidth);
    steps_.sum_b = part(kScanSteps * kWidth);
    steps_.sum_a = part(kScanSteps * kWidth);
    start_ = part(a_.padded_states * kWidth);
    decays_ = part(kScanSteps * kGroup * kWidth);
    states_ = part((kScanSteps + 1) * kGroup * kWidth);
    b_sums_ = part(kScanSteps * kWidth * a_.padded_states / kGroup);
    c_sums_ = part(kScanSteps * kWidth * a_.padded_states / kGroup);
    for (int64_t b = 0; b < blocks_; ++b) {
      Strip<E>(a_, b).take_rates(rates_ + at(b));
      fill_zero(rate_sums_ + at(b), a_.padded_states * kWidth);
      d_skip_[b] = d_bias_[b] = V{};
    }
  }

  void run() {
    for (int64_t i = a_.n_chunks - 1; i >= 0; --i) {
      const auto& chunk = a_.chunks[i];
      fill_zero(b_sums_, kScanSteps * kWidth * a_.padded_states / kGroup);
      fill_zero(c_sums_, kScanSteps * kWidth * a_.padded_states / kGroup);
      for (int64_t b = 0; b < blocks_; ++b) run(chunk, b);
      put_sums_of(chunk, b_sums_, static_cast<S*>(a_.dB));
      put_sums_of(chunk, c_sums_, static_cast<S*>(a_.dC));
    }
    for (int64_t b = 0; b < blocks_; ++b) {
      const Strip<E> strip(a_, b);
      strip.put_matrix(a_.dA, 0, rate_sums_ + at(b));
      strip.put_vector(a_.dD, d_skip_[b]);
      strip.put_vector(a_.d_delta_bias, d_bias_[b]);
    }
  }

 private:
  int64_t at(int64_t block) const { return block * kWidth * a_.padded_states; }

  static void fill_zero(S* p, int64_t count) {
    for (int64_t i = 0; i < count; ++i) p[i] = 0;
  }

  void run(const ScanChunk& chunk, int64_t block) {
    const Strip<E> strip(a_, block);
    S* const carried = carried_ + at(block);
    if (chunk.is_last) strip.take_matrix(a_.d_final_state, chunk.document, carried);
    const S* start = start_;
    if (chunk.is_first) {
      strip.take_matrix(a_.initial_state, chunk.document, start_);
    } else {
      start = strip.checkpoint(chunk.checkpoint);
    }
    prepare(strip, chunk);
    for (int64_t state = 0; state < a_.padded_states; state += kGroup) {
      differentiate(chunk, block, state, start);
    }
    finish(strip, chunk, block);
    if (chunk.is_first && a_.d_initial_state) {
      strip.put_matrix(a_.d_initial_state, chunk.document, carried);
    }
  }

  // Four states.
  void differentiate(const ScanChunk& chunk, int64_t block, int64_t state, const S* start) {
    const int64_t count = chunk.end - chunk.begin, stride = a_.padded_states;
    const int64_t offset = at(block) + state * kWidth;
    const S* B = static_cast<const S*>(a_.B) + chunk.begin * stride + state;
    const S* C = static_cast<const S*>(a_.C) + chunk.begin * stride + state;
    V rates[kGroup], carried[kGroup], rate_sums[kGroup];
    for (int i = 0; i < kGroup; ++i) {
      rates[i] = load(rates_ + offset + i * kWidth);
      carried[i] = load(carried_ + offset + i * kWidth);
      rate_sums[i] = load(rate_sums_ + offset + i * kWidth);
      store(states_ + i * kWidth, load(start + (state + i) * kWidth));
    }
    if (a_.z) {
      recompute<S, true>(B, C, stride, count, rates, steps_, decays_, states_);
    } else {
      recompute<S, false>(B, C, stride, count, rates, steps_, decays_, states_);
    }
    const int64_t sums = state / kGroup * kScanSteps * kWidth;
    reverse(B, C, stride, count, rates, steps_, decays_, states_, carried, rate_sums,
            b_sums_ + sums, c_sums_ + sums);
    for (int i = 0; i < kGroup; ++i) {
      store(carried_ + offset + i * kWidth, carried[i]);
      store(rate_sums_ + offset + i * kWidth, rate_sums[i]);
    }
  }

  void prepare(const Strip<E>& strip, const ScanChunk& chunk) {
    const V bias = strip.take_vector(a_.delta_bias), skip = strip.take_vector(a_.D);
    for (int64_t t = chunk.begin, i = 0; t < chunk.end; ++t, i += kWidth) {
      const V u = strip.take_row(a_.u, t, a_.u_stride);
      const auto d = strip.step_size(t, bias);
      V dy = strip.take_row(a_.d_out, t, a_.d_out_stride);
      if (a_.z) {
        const V z = strip.take_row(a_.z, t, a_.z_stride), s = sigmoid(z);
        store(steps_.gate + i, s);
        dy *= z * s;
      }
      store(steps_.delta + i, d.value);
      store(steps_.slope + i, d.slope);
      store(steps_.x + i, d.value * u);
      store(steps_.dy + i, dy);
      store(steps_.y + i, skip * u);
      store(steps_.sum_b + i, V{});
      store(steps_.sum_a + i, V{});
      strip.prefetch(a_.u, t, a_.u_stride, kWidth);
      strip.prefetch(a_.delta, t, a_.delta_stride, kWidth);
      strip.prefetch(a_.d_out, t, a_.d_out_stride, kWidth);
      if (a_.z) strip.prefetch(a_.z, t, a_.z_stride, kWidth);
      strip.prefetch_to_write(a_.du, t);
      strip.prefetch_to_write(a_.d_delta, t);
      if (a_.dz) strip.prefetch_to_write(a_.dz, t);
    }
  }

  void finish(const Strip<E>& strip, const ScanChunk& chunk, int64_t block) {
    const V skip = strip.take_vector(a_.D);
    for (int64_t t = chunk.begin, i = 0; t < chunk.end; ++t, i += kWidth) {
      const V u = strip.take_row(a_.u, t, a_.u_stride), dy = load(steps_.dy + i);
      const V sum_b = load(steps_.sum_b + i);
      const V d_delta =
          (u * sum_b + load(steps_.sum_a + i) * static_cast<S>(kLn2)) * load(steps_.slope + i);
      strip.put_row(a_.du, t, skip * dy + load(steps_.delta + i) * sum_b);
      strip.put_row(a_.d_delta, t, d_delta);
      d_bias_[block] += d_delta;
      d_skip_[block] += dy * u;
      if (!a_.dz) continue;
      const V z = strip.take_row(a_.z, t, a_.z_stride), s = load(steps_.gate + i);
      const V d_out = strip.take_row(a_.d_out, t, a_.d_out_stride);
      strip.put_row(a_.dz, t, d_out * load(steps_.y + i) * s * (1 + z * (1 - s)));
    }
  }

  void put_sums_of(const ScanChunk& chunk, const S* from, S* to) const {
    for (int64_t t = chunk.begin; t < chunk.end; ++t) {
      for (int64_t group = 0; group < a_.padded_states / kGroup; ++group) {
        const S* quarters = from + (group * kScanSteps + t - chunk.begin) * kWidth;
        put_sums(to + t * a_.padded_states + group * kGroup, load(quarters));
      }
    }
  }

  const SelectiveScanArguments& a_;
  const int64_t blocks_;
  S *rates_, *carried_, *rate_sums_;  // of each block [padded_states][kWidth]
  S *start_, *decays_, *states_;      // of the block at hand
  S *b_sums_, *c_sums_;               // over blocks [padded_states / 4][kScanSteps][kWidth]
  Steps<S> steps_;
  V d_skip_[kBlocks], d_bias_[kBlocks];
};

}  // namespace

void selective_scan_backward(const SelectiveScanArguments& a) {
  switch (a.element) {
    case Element::float32:
      return Backward<float>(a).run();
    case Element::bfloat16:
      return Backward<BFloat16>(a).run();
    case Element::float64:
      return Backward<double>(a).run();
  }
}

}  // namespace gamut::ops::GAMUT_ISA
