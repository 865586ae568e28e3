// Versions that a plugin is built for and that the host compares before it runs any of its code.
#pragma once

#include <torch/headeronly/version.h>

// A plugin runs on a host of the same major and of the same or a newer minor version.
#define GAMUT_SDK_VERSION_MAJOR 1
#define GAMUT_SDK_VERSION_MINOR 0

#define GAMUT_STRINGIFY_(x) #x
#define GAMUT_STRINGIFY(x) GAMUT_STRINGIFY_(x)

#if defined(__clang__)
#define GAMUT_COMPILER_FAMILY "gcc"  // clang on Linux shares GCC's C++ ABI
#elif defined(__GNUC__)
#define GAMUT_COMPILER_FAMILY "gcc"
#else
#error "Gamut plugins are built with GCC or Clang"
#endif

// What must be equal for C++ objects to cross between host and plugin.
#define GAMUT_ABI_TAG \
  GAMUT_COMPILER_FAMILY "-libstdc++-cxx11abi" GAMUT_STRINGIFY(_GLIBCXX_USE_CXX11_ABI) "-x86_64"

// A change in any part of LibTorch's version may change the layout of its classes.
#define GAMUT_LIBTORCH_VERSION TORCH_VERSION
