// The convolution's gradients, in one pass: the sums before SiLU are computed again, from inputs
// that are read once. Four channels a thread, because it keeps inputs, gradients, taps and the
// gradients of taps of 4 steps each.
#include "ops/causal_conv1d/cuda/strip.cuh"

namespace gamut::cuda {
namespace {

using Args = CausalConv1dArgs;
using Plan = ConvPlan;
using Place = ConvPlace;

// The backward pass of a strip. The gradient of the sum at a step, du, is known before that of an
// input: dx_s = sum_k taps_{width - 1 - k} du_{s + k} within the document, so that step t of the
// run gives the gradient of input t - (width - 1). The state before a document is inputs as well.
template <class T, int kW, int kN>
struct BackwardStrip : Strip<T, kW, kN> {
  using Base = Strip<T, kW, kN>;
  using Base::a;
  using Base::place;
  using Base::taps;
  using Base::width;
  using Base::x;
  Lines<kW, kN> du, d_taps;  // du: from step - (width - 1) to step
  float d_bias[kN] = {};

  __device__ BackwardStrip(const Args& args, const Place& where, SharedMemory& shared)
      : Base(args, where, shared), du(shared, width()), d_taps(shared, width()) {
    d_taps.clear(width());
  }

  // `gradient` of the sum at a step becomes the last line; with is_own it counts for the weights.
  __device__ void add(const float (&gradient)[kN], bool is_own) {
    du.set(width() - 1, gradient);
    if (!is_own) return;
#pragma unroll
    for (int i = 0; i < kN; ++i) d_bias[i] += gradient[i];
    for_each_line<kW>(width(), [&](int j) {
#pragma unroll
      for (int i = 0; i < kN; ++i) d_taps(j, i) += gradient[i] * x(j, i);
    });
  }

  // dx of input `step`, the first of the lines of du, of which the first `count` are of its
  // document.
  __device__ void gather(int64_t count, float (&d)[kN]) {
#pragma unroll
    for (int i = 0; i < kN; ++i) d[i] = 0;
    for_each_line<kW>(width(), [&](int k) {
      if (k >= count) return;
#pragma unroll
      for (int i = 0; i < kN; ++i) d[i] += taps(width() - 1 - k, i) * du(k, i);
    });
  }
  __device__ void store_input(int64_t step, const float (&d)[kN]) const {
    store_pack<kN>(static_cast<T*>(a.dx) + step * a.channels + place.channel, d);
  }

  // The same near the end of a document, whose final state has inputs too. `document` is that of
  // the step after it.
  __device__ void write_last_input(int64_t step, const Document& document) {
    const bool ends = step + 1 == document.begin;
    const int64_t end = ends ? document.begin : document.end;
    float d[kN], of_state[kN];
    gather(end - step, d);
    const int64_t kept = step - (end - (width() - 1));  // its row of the final state
    if (kept >= 0 && a.d_final_state) {
      const Document own{ends ? document.index - 1 : document.index, 0, 0};
      load_floats(a.d_final_state + this->state(own, kept), of_state);
#pragma unroll
      for (int i = 0; i < kN; ++i) d[i] += of_state[i];
    }
    store_input(step, d);
  }

  // The gradient of the state before `document`, whose first step is the second of the lines of du:
  // row p gets sum_j taps_j du_{p - j}, and what a short document leaves of it in the final state.
  __device__ void write_state(const Document& document) {
    const int64_t length = document.end - document.begin;
    for_each_line<kW>(width() - 1, [&](int p) {
      float d[kN] = {};
      if (p >= length && a.d_final_state) {
        load_floats(a.d_final_state + this->state(document, p - length), d);
      }
      for_each_line<kW>(p + 1, [&](int j) {
        if (p - j >= length) return;
#pragma unroll
        for (int i = 0; i < kN; ++i) d[i] += taps(j, i) * du(p - j + 1, i);
      });
      store_floats(a.d_initial_state + this->state(document, p), d);
    });
  }

  // Adds up what the block's runs have for the weights, one line after the other.
  __device__ void write_weights(SharedMemory& shared, const Plan& plan) {
    auto* const all = shared.take<float>(plan.threads * kN);
    float* const part = a.parts + place.part * a.channels * (width() + 1);
    const auto add_runs = [&](int j, const auto& value) {
      __syncthreads();
      for (int i = 0; i < kN; ++i) all[static_cast<int>(threadIdx.x) * kN + i] = value(i);
      __syncthreads();
      if (place.run > 0 || !place.valid) return;
      for (int i = 0; i < kN; ++i) {
        float sum = 0;
        for (int run = 0; run < place.runs; ++run) {
          sum += all[(run * plan.columns + place.column) * kN + i];
        }
        const int64_t channel = place.channel + i;
        part[j < width() ? channel * width() + j : a.channels * width() + channel] = sum;
      }
    };
    for_each_line<kW>(width(), [&](int j) { add_runs(j, [&](int i) { return d_taps(j, i); }); });
    add_runs(width(), [&](int i) { return d_bias[i]; });
  }
};

// Steps of a run and those after it that its inputs reach. kWhole: all of them, and one more, are
// of one document, which began before.
template <bool kWhole, class T, int kW, int kN, bool kNormed>
__device__ void backward_steps(BackwardStrip<T, kW, kN>& strip, HeadSums<kN, kNormed>& heads,
                               const Plan& plan, int64_t begin, bool works, Document document) {
  const Args& a = strip.a;
  constexpr int kSteps = kWhole ? kConvAhead : 1;
  const int back = strip.width() - 1;
  const int64_t end = kWhole ? begin + plan.steps : min(begin + plan.steps, a.steps);
  const int64_t last = kWhole ? end + back : min(end + back, a.steps);
  Document behind = document;  // of the step after the input whose gradient is complete
#pragma unroll 1
  for (int64_t from = begin; from < begin + plan.steps + back; from += kSteps) {
    Pack<T, kN> x_ahead[kSteps], dy_ahead[kSteps];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const bool is_there = works && from + i < last;
      x_ahead[i] = load_pack_if<kN>(is_there, strip.row(a.x, a.x_stride, from + i));
      dy_ahead[i] = load_pack_if<kN>(is_there, strip.row(a.dy, a.dy_stride, from + i));
    }
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const int64_t step = from + i, input = step - back;
      const bool is_there = works && step < last;
      if (!kWhole && is_there && step == document.end) {
        document = next(a, document);
        strip.enter(document, step);
      }
      float sum[kN], d[kN];
      strip.convolve(x_ahead[i], sum);
      unpack<T>(dy_ahead[i], d);
      if constexpr (kNormed) heads.differentiate(a, is_there, sum, d);
#pragma unroll
      for (int k = 0; k < kN; ++k) {
        const float slope = a.silu ? silu_slope(sum[k], sigmoid(sum[k])) : 1;
        d[k] = is_there ? d[k] * slope : 0;
      }
      strip.add(d, is_there && step < end);
      if (!kWhole && works && input + 1 >= begin && input + 1 < end) {
        if (input + 1 == behind.end) behind = next(a, behind);
        if (input + 1 == behind.begin && a.d_initial_state) strip.write_state(behind);
      }
      if (works && input >= begin && input < end) {
        if (kWhole) {
          strip.gather(strip.width(), d);
          strip.store_input(input, d);
        } else {
          strip.write_last_input(input, behind);
        }
      }
      strip.x.shift(strip.width());
      strip.du.shift(strip.width());
    }
  }
}

template <class T, int kW, int kN, bool kNormed>
__global__ void __launch_bounds__(256) backward(Args a, Plan plan) {
  SharedMemory shared;
  const Place place(a, plan, kN);
  BackwardStrip<T, kW, kN> strip(a, place, shared);
  HeadSums<kN, kNormed> heads(shared, a.head_dim, place.column, place.run, plan.columns,
                              place.runs);
  for (int64_t first = place.part * place.runs; first * plan.steps < a.steps;
       first += plan.parts * place.runs) {
    const int64_t begin = (first + place.run) * plan.steps;
    const bool works = place.valid && begin < a.steps;
    const Document document = works ? document_at(a, begin) : Document{};
    if (works) strip.enter(document, begin);
    strip.du.clear(strip.width());
    const bool is_within =
        document.begin < begin && begin + plan.steps + strip.width() <= document.end;
    const bool is_whole = kW > 0 && __syncthreads_and(!works || is_within);
    if constexpr (kW > 0) {
      if (is_whole) backward_steps<true>(strip, heads, plan, begin, works, document);
    }
    if (!is_whole) backward_steps<false>(strip, heads, plan, begin, works, document);
  }
  strip.write_weights(shared, plan);
}

template <class T, int kW, int kN, bool kNormed>
Status run(const Args& a, int threads, Stream stream) {
  const Plan plan = plan_of(a, kN, threads, /*is_backward=*/true);
  SharedSize shared;
  for (int i = 0; i < 4; ++i) {
    Lines<kW, kN>::add_size(shared, static_cast<int>(a.width), plan.threads);
  }
  HeadSums<kN, kNormed>::add_size(shared, a.head_dim, plan.columns, plan.threads / plan.columns);
  shared.add<float>(plan.threads * kN);
  const Launch how{plan.blocks_across * plan.parts, plan.threads, shared.bytes(), stream};
  const Status status =
      launch(backward<T, kW, kN, kNormed>, "causal_conv1d_backward", how, a, plan);
  if (!status.ok()) return status;
  const int64_t taps = a.channels * a.width;
  return sum_parts({a.parts,
                    plan.parts,
                    taps + a.channels,
                    {a.d_taps, a.weight_element, taps},
                    {a.d_bias, a.weight_element, a.channels}},
                   stream);
}

}  // namespace

Status causal_conv1d_backward(const Args& a, Stream stream) {
  return by_element(a.element, [&](auto zero) {
    using T = decltype(zero);
    const bool wide = a.width == 4 && has_packs<T, 4>(a);
    if (a.head_dim > 0) {
      return wide && a.head_dim >= 4 ? run<T, 4, 4, true>(a, 256, stream) : no_norm();
    }
    return wide ? run<T, 4, 4, false>(a, 256, stream) : run<T, 0, 1, false>(a, 64, stream);
  });
}

}  // namespace gamut::cuda
