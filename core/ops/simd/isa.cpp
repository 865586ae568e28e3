#include "ops/simd/isa.h"

#include <gamut/error.h>

#include <cstdlib>
#include <string>

namespace gamut::ops {
namespace {

Isa best_of_cpu() {
  __builtin_cpu_init();
  GAMUT_CHECK(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi2"),
              "this CPU lacks AVX2 or FMA; the kernels of gamut need an x86-64-v3 CPU (any Intel "
              "since Haswell, any AMD since Excavator or Zen)");
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (!v4) return Isa::avx2;
  return __builtin_cpu_supports("avx512bf16") ? Isa::avx512_bf16 : Isa::avx512;
}

Isa choose() {
  const Isa best = best_of_cpu();
  const char* asked = std::getenv("GAMUT_CPU_ISA");
  if (!asked || !*asked) return best;
  for (Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    if (std::string(asked) != name_of(isa)) continue;
    GAMUT_CHECK(isa <= best, "GAMUT_CPU_ISA asks for ", asked, ", and this CPU has no more than ",
                name_of(best));
    return isa;
  }
  throw Error(std::string("GAMUT_CPU_ISA is `") + asked +
              "`; it can be avx2, avx512 or avx512_bf16");
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
  }
  return "";
}

}  // namespace gamut::ops
