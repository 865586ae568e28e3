// Work whose intermediate results are made again in the backward pass instead of being kept for it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace gamut::memory_cache {

using Compute = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

// compute(inputs). For gradients only the inputs are kept; the backward pass computes the result
// again, under the autocast of the first time, and differentiates that, once: the numbers are the
// same. `compute` may use `parameters` too, which get their gradients; other tensors that it uses
// get none. Inputs and parameters are defined tensors.
// On devices other than the CPU everything is kept, as ever: backward passes there run in threads
// of their own, where a mixer that is a script may not be called.
at::Tensor recomputed(Compute compute, const std::vector<at::Tensor>& inputs,
                      const std::vector<at::Tensor>& parameters);

}  // namespace gamut::memory_cache
