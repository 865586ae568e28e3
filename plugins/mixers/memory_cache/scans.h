// The recurrence over the segments of a call: the online reads, and the memories to be cached.
#pragma once

#include <gamut/recurrent.h>

#include <functional>
#include <vector>

#include "segments.h"
#include "settings.h"

namespace gamut::memory_cache {

struct Scans {
  std::vector<at::Tensor> reads;  // [rows, time of the piece, ...] for each piece
  std::vector<Memory> finished;   // [rows, ...] for each segment that is finished
  Memory last;                    // after the last step
};

using EmptyMemory = std::function<Memory(int64_t rows)>;

// From `online`, the memory that the first piece goes on from. With carry_over = checkpoint one
// segment after the other; independent ones are scanned side by side.
Scans scan(Recurrent& recurrent, const Settings& settings, const NamedTensors& features,
           const std::vector<Piece>& pieces, const Memory& online, const EmptyMemory& empty);

}  // namespace gamut::memory_cache
