// How the elements of an operator's tensors lie in memory, for kernels that take several types.
#pragma once

namespace gamut::ops {

// Sums are float32 for the first two.
enum class Element { float32, bfloat16, float64 };

}  // namespace gamut::ops
