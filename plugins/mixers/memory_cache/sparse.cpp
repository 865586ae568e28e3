// Choices sorted by memory into tiles, and the batched read of them.
#include "sparse.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace gamut::memory_cache {

using at::Tensor;

namespace {

constexpr int64_t kShortest = 8;
constexpr int64_t kLongest = 64;

// Where the tiles of each memory begin, in steps; the last is their end.
std::vector<int64_t> tile_begins(const int64_t* memories, int64_t choices, int64_t count,
                                 int64_t length) {
  std::vector<int64_t> begins(static_cast<size_t>(count + 1), 0);
  for (int64_t i = 0; i < choices; ++i) ++begins[static_cast<size_t>(memories[i] + 1)];
  for (size_t m = 1; m < begins.size(); ++m) {
    begins[m] = begins[m - 1] + (begins[m] + length - 1) / length * length;
  }
  return begins;
}

}  // namespace

int64_t tile_length(int64_t choices, int64_t memories) {
  int64_t length = kShortest;
  while (length < kLongest && length * 2 * memories <= choices) length *= 2;
  return length;
}

Tiles tiled(const Tensor& ids, const std::vector<int64_t>& steps, int64_t time, int64_t pool,
            int64_t length) {
  const int64_t rows = ids.size(0), n = ids.size(1), k = ids.size(2);
  const auto row_starts = at::arange(rows, at::kLong).view({rows, 1, 1});
  const Tensor memory = (ids.cpu() + row_starts * pool).contiguous();
  const auto* const memories = memory.const_data_ptr<int64_t>();
  const auto begins = tile_begins(memories, memory.numel(), rows * pool, length);
  std::vector<int64_t> next(begins), of_tile(static_cast<size_t>(begins.back() / length)),
      step_at(static_cast<size_t>(begins.back()), -1), places;
  places.reserve(static_cast<size_t>(memory.numel()));
  for (int64_t i = 0; i < memory.numel(); ++i) {
    const int64_t place = next[static_cast<size_t>(memories[i])]++;
    of_tile[static_cast<size_t>(place / length)] = memories[i];
    step_at[static_cast<size_t>(place)] =
        i / (n * k) * time + steps[static_cast<size_t>(i / k % n)];
    places.push_back(place);
  }
  // A tile has at least its first step.
  for (size_t i = 1; i < step_at.size(); ++i) {
    if (step_at[i] < 0) step_at[i] = step_at[i - 1];
  }
  const auto index = [&](const std::vector<int64_t>& list) {
    return at::tensor(list, at::kLong).to(ids.device());
  };
  return {length, index(of_tile), index(step_at), index(places)};
}

Tensor read_tiles(Recurrent& recurrent, const Tiles& tiles, const NamedTensors& features,
                  const Memory& pool) {
  NamedTensors at_tiles = features;
  for (auto& f : at_tiles) {
    f.tensor = f.tensor.flatten(0, 1).index_select(0, tiles.steps).unflatten(0, {-1, tiles.length});
  }
  Memory memories;
  for (const auto& m : pool) {
    memories.push_back(m.flatten(0, 1).index_select(0, tiles.memories).unsqueeze(1));
  }
  const auto reads = recurrent.normalize(recurrent.read(at_tiles, memories)).select(2, 0);
  return reads.flatten(0, 1).index_select(0, tiles.places);
}

}  // namespace gamut::memory_cache
