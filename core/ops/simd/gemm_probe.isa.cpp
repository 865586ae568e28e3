#include "ops/simd/gemm_probe.h"

#include "ops/simd/gemm.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class T>
void run(const GemmProbeArguments& p) {
  const auto* a = static_cast<const T*>(p.a);
  auto* c = static_cast<T*>(p.c);
  if (p.what == GemmProbe::solve || p.what == GemmProbe::solve_transposed) {
    return solve_unit_lower<T>(p.m, p.n, a, p.m, c, p.n, p.what == GemmProbe::solve_transposed);
  }
  const Left<T> left = p.transpose_a ? Left<T>{a, p.m, 1}.transposed() : Left<T>{a, p.k, 1};
  const Right<T> right{static_cast<const T*>(p.b), p.n};
  const Output<T> fresh{c, p.n, static_cast<T>(p.alpha), static_cast<const T*>(p.scale)};
  const Output<T> out = p.add ? fresh.added() : fresh;
  if (p.what == GemmProbe::lower_result) return gemm_lower<T>(p.m, p.k, left, right, out);
  const Shape shape = p.what == GemmProbe::lower   ? Shape::lower
                      : p.what == GemmProbe::upper ? Shape::upper
                                                   : Shape::full;
  gemm<T>(p.m, p.n, p.k, left, right, out, shape);
}

}  // namespace

void gemm_probe(const GemmProbeArguments& p) {
  if (p.is_double) {
    run<double>(p);
  } else {
    run<float>(p);
  }
}

}  // namespace gamut::ops::GAMUT_ISA
