// CUDA's names and those of core/cuda/device.cuh for kernels that a C++ compiler compiles; the
// other half of that file says what the functions do.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector_functions.h>
#include <vector_types.h>

#include "cuda/emulation/arithmetic.h"
#include "cuda/emulation/block.h"
#include "cuda/emulation/copies.h"
#include "cuda/emulation/matrix.h"
#include "cuda/emulation/shared.h"
#include "cuda/emulation/warp.h"

#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __shared__
#define __shared__ only_SharedMemory_is_emulated

#define threadIdx (::gamut::cuda::emulation::self->thread_index)
#define blockIdx (::gamut::cuda::emulation::self->block_index)
#define blockDim (::gamut::cuda::emulation::self->block_size)
#define gridDim (::gamut::cuda::emulation::self->grid_size)
