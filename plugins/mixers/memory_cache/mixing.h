// Gates, and the reads of the cached memories and the online one mixed by them.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/recurrent.h>

#include "segments.h"
#include "settings.h"

namespace gamut::memory_cache {

// What is scored: u_t is compared with means of s. Both [rows, time, width], undefined without
// gates.
struct Scored {
  at::Tensor u;
  at::Tensor s;
};

// One piece of a call: steps of one segment, for some rows.
struct Stretch {
  NamedTensors features;  // [rows, time, ...]
  at::Tensor online;      // what scan read, [rows, time, ...], not normalised
  at::Tensor u;           // [rows, time, width]
  at::Tensor mean;        // running mean of s in the segment, [rows, time, width]
};

// Softmax over the cached segments and, last, the online one: [rows, time, n + 1]. For sparse,
// the weights of all but the top_k cached segments are 0.
at::Tensor gates(const Settings& settings, const Stretch& stretch, const at::Tensor& means);

// The mixed and normalised read [rows, time, ...] of a stretch.
at::Tensor mix(const Settings& settings, Recurrent& recurrent, const Stretch& stretch,
               const Cache& cache);

}  // namespace gamut::memory_cache
