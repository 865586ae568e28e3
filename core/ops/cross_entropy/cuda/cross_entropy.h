// Cross entropy on a GPU; the equation is in cross_entropy.h of the folder above.
#pragma once

#include "cuda/types.h"

namespace gamut::cuda {

// Rows of `ids` logits, one after the other. A row whose target is neither an id nor ignore_index
// has NaN for its loss and gradient: nobody asks before the launch.
struct CrossEntropyArgs {
  Element element;  // of logits and gradient
  int64_t rows, ids;
  const void* logits;
  const int64_t* targets;  // [rows]
  int64_t ignore_index;
  float label_smoothing, softcap;  // softcap 0: none

  // Losses of the rows, 0 where ignored, or null; log2 sum exp of the rows, or null. Without
  // `losses`, `normalizers` are read instead of computed.
  float* losses;
  float* normalizers;

  // scale d_loss / count times the gradient of the row's loss, or null: may be the logits, and else
  // lies like them modulo 16 bytes. d_loss and count are one number each on the device; null: 1.
  void* gradient;
  float scale;
  const float* d_loss;
  const int64_t* count;
};

Status cross_entropy_rows(const CrossEntropyArgs& args, Stream stream);

}  // namespace gamut::cuda
