// Reads of the cached memories that each step chose, and of no others.
//
// Steps that chose the same memory are put side by side in tiles, as tokens by expert in a mixture
// of experts: a tile is some steps of a row and the one memory that they read. All tiles are one
// batched read, whose size is that of what was chosen plus what the tiles are not filled with.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/recurrent.h>

#include <vector>

namespace gamut::memory_cache {

struct Tiles {
  int64_t length = 0;   // steps of a tile
  at::Tensor memories;  // [tiles], in rows * pool
  at::Tensor steps;     // [tiles * length], in rows * time; unfilled ones repeat a step of theirs
  at::Tensor places;    // [rows * chosen]: where in `steps` each choice is
};

// `ids` [rows, n, k], of `pool` memories in each row, are what `steps` [n] of `time` chose. Indices
// are on the device of `ids`.
Tiles tiled(const at::Tensor& ids, const std::vector<int64_t>& steps, int64_t time, int64_t pool,
            int64_t length);

// The length of tiles for that many choices of that many memories.
int64_t tile_length(int64_t choices, int64_t memories);

// What was chosen: [rows * chosen, ...], normalised. Features [rows, time, ...], pool
// [rows, n, ...].
at::Tensor read_tiles(Recurrent& recurrent, const Tiles& tiles, const NamedTensors& features,
                      const Memory& pool);

}  // namespace gamut::memory_cache
