// The convolution: a thread goes through a run of neighbouring steps of a few channels, the inputs
// that it still needs in registers. Runs begin with the width - 1 inputs before them, which other
// threads read too, from cache. Any width but 4 keeps its inputs in shared memory instead, a
// channel a thread.
#include "ops/causal_conv1d/cuda/strip.cuh"

namespace gamut::cuda {
namespace {

using Args = CausalConv1dArgs;
using Plan = ConvPlan;
using Place = ConvPlace;

// Steps of a run. kWhole: the run is as long as any, and its document does not end within; then
// nothing has to be asked at every step, and four of them have their inputs on the way.
template <bool kWhole, class T, int kW, int kN, bool kNormed>
__device__ void forward_steps(Strip<T, kW, kN>& strip, HeadSums<kN, kNormed>& heads,
                              const Plan& plan, int64_t begin, bool works, Document document) {
  const Args& a = strip.a;
  constexpr int kSteps = kWhole ? kConvAhead : 1;
  const int64_t end = kWhole ? begin + plan.steps : min(begin + plan.steps, a.steps);
  auto* const y_of = static_cast<T*>(a.y) + strip.place.channel;
#pragma unroll 1
  for (int64_t from = begin; from < begin + plan.steps; from += kSteps) {
    Pack<T, kN> ahead[kSteps];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const bool is_there = works && (kWhole || from + i < end);
      ahead[i] = load_pack_if<kN>(is_there, strip.row(a.x, a.x_stride, from + i));
    }
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const int64_t step = from + i;
      const bool is_there = works && (kWhole || step < end);
      if (!kWhole && is_there && step == document.end) {
        document = next(a, document);
        strip.enter(document, step);
      }
      float y[kN];
      strip.convolve(ahead[i], y);
      if (a.silu) {
#pragma unroll
        for (int k = 0; k < kN; ++k) y[k] = silu(y[k]);
      }
      if constexpr (kNormed) heads.normalize(a, is_there, y);
      if (is_there) store_pack<kN>(y_of + step * a.channels, y);
      strip.x.shift(strip.width());
      if (!kWhole && is_there && step + 1 == document.end) strip.leave(document);
    }
  }
  if (kWhole && works && end == document.end) strip.leave(document);
}

template <class T, int kW, int kN, bool kNormed>
__global__ void __launch_bounds__(256) forward(Args a, Plan plan) {
  SharedMemory shared;
  const Place place(a, plan, kN);
  Strip<T, kW, kN> strip(a, place, shared);
  HeadSums<kN, kNormed> heads(shared, a.head_dim, place.column, place.run, plan.columns,
                              place.runs);
  for (int64_t first = place.part * place.runs; first * plan.steps < a.steps;
       first += plan.parts * place.runs) {
    const int64_t begin = (first + place.run) * plan.steps, end = begin + plan.steps;
    const bool works = place.valid && begin < a.steps;
    const Document document = works ? document_at(a, begin) : Document{};
    if (works) strip.enter(document, begin);
    // A document that does not end within the run has all its steps.
    const bool is_whole = kW > 0 && __syncthreads_and(!works || end <= document.end);
    if constexpr (kW > 0) {
      if (is_whole) forward_steps<true>(strip, heads, plan, begin, works, document);
    }
    if (!is_whole) forward_steps<false>(strip, heads, plan, begin, works, document);
  }
}

template <class T, int kW, int kN, bool kNormed>
Status run(const Args& a, int threads, Stream stream) {
  const Plan plan = plan_of(a, kN, threads, /*is_backward=*/false);
  SharedSize shared;
  for (int i = 0; i < 2; ++i) {
    Lines<kW, kN>::add_size(shared, static_cast<int>(a.width), plan.threads);
  }
  HeadSums<kN, kNormed>::add_size(shared, a.head_dim, plan.columns, plan.threads / plan.columns);
  const Launch how{plan.blocks_across * plan.parts, plan.threads, shared.bytes(), stream};
  return launch(forward<T, kW, kN, kNormed>, "causal_conv1d_forward", how, a, plan);
}

}  // namespace

Status causal_conv1d_forward(const Args& a, Stream stream) {
  return by_element(a.element, [&](auto zero) {
    using T = decltype(zero);
    constexpr int kPack = kWidePack<T>;
    const bool wide = a.width == 4 && has_packs<T, kPack>(a);
    if (a.head_dim > 0) {
      return wide && a.head_dim >= kPack ? run<T, 4, kPack, true>(a, 256, stream) : no_norm();
    }
    return wide ? run<T, 4, kPack, false>(a, 256, stream) : run<T, 0, 1, false>(a, 64, stream);
  });
}

}  // namespace gamut::cuda
