// gamut::exp_rate: checks, and the division of the elements among threads.
#include "ops/simd/exp_rate.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gamut/error.h>

#include "ops/simd/exp_sums.h"

namespace gamut::ops {

at::Tensor exp_rate(const at::Tensor& x, int64_t times) {
  GAMUT_CHECK(x.device().is_cpu() && x.scalar_type() == at::kFloat && x.is_contiguous(),
              "exp_rate: x must be contiguous float32 on the CPU; it is ", x.scalar_type(), " on ",
              x.device());
  GAMUT_CHECK(times > 0, "exp_rate: times must be positive; it is ", times);
  const auto y = at::empty_like(x);
  const auto* from = x.const_data_ptr<float>();
  auto* to = y.mutable_data_ptr<float>();
  at::parallel_for(0, x.numel(), 64,
                   [&](int64_t begin, int64_t end) { exp_sums({from, to, begin, end, times}); });
  return y;
}

}  // namespace gamut::ops
