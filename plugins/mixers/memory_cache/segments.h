// Segments of a document, and which of the finished ones are cached when.
//
// A document is cut into segments of segment_size steps. At a step, n of them are finished and the
// step's own is the online one. Constant segments: each finished one is cached (the last
// max_segments). Logarithmic: n is written as a sum of powers of two, largest first, and the
// finished segments are merged into groups of those lengths, so that at most log2(n) + 1 are
// cached: long ones of what is far, short ones of what is near. Both depend only on what was read.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/recurrent.h>

#include <vector>

#include "settings.h"

namespace gamut::memory_cache {

// A stretch of a call that lies in one segment.
struct Piece {
  int64_t begin;  // in the call
  int64_t length;
  int64_t segment;  // of the document, from 0
  int64_t offset;   // steps of the segment that were read before
  bool finishes;    // its last step is the segment's last
};

// `before` steps of the document were read by earlier calls, `length` come in this one.
std::vector<Piece> cut(int64_t before, int64_t length, int64_t segment_size);

// How many entries are cached once `finished` segments of a document are.
int64_t cached_count(const Settings& settings, int64_t finished);

// Cached entries of some rows, oldest first.
struct Cache {
  int64_t size = 0;
  Memory memories;    // [rows, size, ...]
  at::Tensor means;   // [rows, size, width] of the scored inputs; undefined without gates
  int64_t first = 0;  // of a call's `all`, with constant segments
};

// A finished segment: tensors [rows, ...].
struct Entry {
  Memory memory;
  at::Tensor mean;
};

// The caches of a call.
struct Caches {
  std::vector<Cache> seen;  // by the pieces, in order, and last, by what comes after them
  Cache all;                // constant segments: each entry once, `seen` are stretches of it
};

// `before` is what earlier calls cached; `finished` are the segments that the pieces finish.
Caches caches(const Settings& settings, const std::vector<Piece>& pieces, const Cache& before,
              const std::vector<Entry>& finished);

}  // namespace gamut::memory_cache
