// Gates, and the reads of the cached memories and the online one mixed by them.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/recurrent.h>

#include <memory>

#include "scans.h"
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

// The wrapped mixer. What is differentiated later holds on to it.
struct Reader {
  std::shared_ptr<Recurrent> recurrent;
  std::vector<at::Tensor> parameters;  // that its reads may use
};

// The mixed and normalised reads [rows, time, ...] of the stretches that the pieces of a call are;
// `features` are those of all of them. Reads of cached memories are not kept for the backward pass.
at::Tensor mix(const Settings& settings, const Reader& reader, const CutFeatures& features,
               const std::vector<Piece>& pieces, const std::vector<Stretch>& stretches,
               const Caches& caches);

}  // namespace gamut::memory_cache
