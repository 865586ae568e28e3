// Versions that a plugin is built for and that the host compares before it runs any of its code.
#pragma once

#include <torch/headeronly/version.h>

#include <cstddef>  // _GLIBCXX_USE_CXX11_ABI

// A plugin runs on a host of the same major and of the same or a newer minor version.
#define GAMUT_SDK_VERSION_MAJOR 1
#define GAMUT_SDK_VERSION_MINOR 2

#define GAMUT_STRINGIFY_(x) #x
#define GAMUT_STRINGIFY(x) GAMUT_STRINGIFY_(x)

#if !defined(__GNUC__) || !defined(__GLIBCXX__)
#error "Gamut plugins are built with GCC, or with Clang and libstdc++"
#endif
#if defined(__x86_64__)
#define GAMUT_MACHINE "x86_64"
#elif defined(__aarch64__)
#define GAMUT_MACHINE "aarch64"
#else
#error "Gamut runs on x86-64 and AArch64"
#endif

// What must be equal for C++ objects to cross between host and plugin. Clang on Linux shares GCC's
// C++ ABI, so the compiler is not part of it.
#define GAMUT_ABI_TAG "libstdc++-cxx11abi" GAMUT_STRINGIFY(_GLIBCXX_USE_CXX11_ABI) "-" GAMUT_MACHINE

// A change in any part of LibTorch's version may change the layout of its classes.
#define GAMUT_LIBTORCH_VERSION TORCH_VERSION
