// LibTorch's CUDA half, opened when there is something to use it with.
#pragma once

#include <string>

namespace gamut::script {

// Opens libtorch_cuda beside libtorch_cpu when this machine has an NVIDIA device or GAMUT_CUDA=1.
// Returns a remark for the user when that was tried and failed; never an error, for everything but
// CUDA works without it.
std::string open_cuda();

}  // namespace gamut::script
