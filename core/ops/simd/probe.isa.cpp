#include "ops/simd/probe.h"

#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {

void probe(const ProbeArguments& a) {
  constexpr int lanes = kLanes<float>;
  for (int64_t i = 0; i < a.n; i += lanes) {
    const int n = a.n - i < lanes ? static_cast<int>(a.n - i) : lanes;
    const Vec<float> x = n < lanes ? load_first(a.in + i, n) : load(a.in + i);
    store_first(a.exp + i, exp(x), n);
    store_first(a.exp2_of_product + i, exp2_of_product(x, splat(a.factor)), n);
    store_first(a.softplus + i, softplus(x).value, n);
    store_first(a.softplus_slope + i, softplus(x).slope, n);
    store_first(reinterpret_cast<BFloat16*>(a.bfloat16) + i, x, n);
  }
}

}  // namespace gamut::ops::GAMUT_ISA
