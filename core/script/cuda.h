// LibTorch's CUDA half and what of Gamut goes with it, opened when there is something to use it
// with.
#pragma once

#include <string>

#include "torch_cuda/torch_table.h"

namespace gamut::script {

// Opens libtorch_cuda beside libtorch_cpu when this machine has an NVIDIA device or GAMUT_CUDA=1;
// GAMUT_CUDA=0 keeps it closed. Only the first call does anything. Returns a remark for the user
// when that was tried and failed; never an error, for everything but CUDA works without it.
const std::string& open_cuda();

// The functions of lib/gamut/cuda/torch.so. Null where libtorch_cuda is not open or torch.so does
// not go with it; `why`, if given, then receives the reason in words.
const cuda::TorchTable* torch_cuda(std::string* why = nullptr);

// What `gamut --version` tells about CUDA: devices, graphs and kernels, a line each.
std::string describe_cuda();

}  // namespace gamut::script
