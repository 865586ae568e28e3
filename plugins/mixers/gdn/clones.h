// Compiles a plain loop twice, for every x86-64 and for AVX2, chosen when the library is loaded.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define GAMUT_CPU_CLONES __attribute__((target_clones("avx2", "default"), optimize("O3")))
#else
#define GAMUT_CPU_CLONES
#endif
