// launch() of emulated kernels; included by core/cuda/launch.cuh, where Launch is.
#pragma once

#include <functional>

#include "cuda/types.h"

namespace gamut::cuda {
namespace emulation {

// Runs the blocks one after the other. `kernel` is called by every thread.
Status run(const char* name, int64_t grid, int block, size_t shared,
           const std::function<void()>& kernel);

}  // namespace emulation

// Runs the kernel to its end; the status says what was wrong in it, in words that live on.
template <class... Parameters, class... Arguments>
Status launch(void (*kernel)(Parameters...), const char* name, const Launch& how,
              const Arguments&... arguments) {
  return emulation::run(name, how.grid, how.block, how.shared,
                        [&] { kernel(static_cast<Parameters>(arguments)...); });
}

// Few, so that small tests meet the plans of large problems.
inline int multiprocessors() {
  return 4;
}

}  // namespace gamut::cuda
