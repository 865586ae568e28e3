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

// Features [rows, time, ...] of a call, and of each of its pieces. (Cut all at once: the gradients
// of many slices of one tensor would each be as long as the tensor.)
struct CutFeatures {
  CutFeatures(const NamedTensors& features, const std::vector<Piece>& pieces);
  NamedTensors whole;
  std::vector<NamedTensors> pieces;
};

// The pieces of [rows, time, ...].
std::vector<at::Tensor> cut(const at::Tensor& tensor, const std::vector<Piece>& pieces);

// From `online`, the memory that the first piece goes on from. With carry_over = checkpoint one
// segment after the other; independent ones are scanned side by side.
Scans scan(Recurrent& recurrent, const Settings& settings, const CutFeatures& features,
           const std::vector<Piece>& pieces, const Memory& online, const EmptyMemory& empty);

}  // namespace gamut::memory_cache
