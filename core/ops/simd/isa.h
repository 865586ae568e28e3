// Which instruction set the CPU kernels of this process use.
//
// A kernel is a file `NAME.isa.cpp`, free of LibTorch and of the standard library, compiled once
// for each member of Isa with GAMUT_ISA as its namespace. GAMUT_ISA_KERNEL in its header declares
// them all, and one function of the same name that calls the right one.
#pragma once

namespace gamut::ops {

enum class Isa { avx2, avx512, avx512_bf16 };

// The best that this CPU has; GAMUT_CPU_ISA=avx2, avx512 or avx512_bf16 asks for a lesser one. The
// first call throws gamut::Error when the CPU has none of them or not the one asked for.
Isa isa();

const char* name_of(Isa isa);

}  // namespace gamut::ops

// Declares a kernel `void name(const Arguments&)`.
#define GAMUT_ISA_KERNEL(name, Arguments)        \
  namespace avx2 {                               \
  void name(const Arguments& arguments);         \
  }                                              \
  namespace avx512 {                             \
  void name(const Arguments& arguments);         \
  }                                              \
  namespace avx512_bf16 {                        \
  void name(const Arguments& arguments);         \
  }                                              \
  inline void name(const Arguments& arguments) { \
    switch (::gamut::ops::isa()) {               \
      case ::gamut::ops::Isa::avx2:              \
        return avx2::name(arguments);            \
      case ::gamut::ops::Isa::avx512:            \
        return avx512::name(arguments);          \
      case ::gamut::ops::Isa::avx512_bf16:       \
        return avx512_bf16::name(arguments);     \
    }                                            \
  }
