// Arguments of the cross entropy kernel; the equation is in cross_entropy.h.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

// Rows [begin, end) of `ids` logits each. S is float for float32 and bfloat16, double for float64.
struct CrossEntropyArguments {
  Element element;  // of logits and gradient
  int64_t begin, end, ids;
  const void* logits;      // [rows, ids]
  const int64_t* targets;  // [rows], each an id or ignore_index
  int64_t ignore_index;
  double label_smoothing, softcap, factor;
  void* losses;    // S [rows], 0 where ignored; or null
  void* gradient;  // [rows, ids]: factor times the gradient of the row's loss, may be the logits;
                   // or null
  void* scratch;   // S [ids + 16], this task's own
};

GAMUT_ISA_KERNEL(cross_entropy, CrossEntropyArguments)

}  // namespace gamut::ops
