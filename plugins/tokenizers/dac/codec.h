// Encoding and decoding of signals of any length in blocks, with flat memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "network.h"
#include "quantizer.h"
#include "shape.h"

namespace gamut::dac {

// What is computed with, never changed once made: several threads may use one.
struct Codec {
  Codec(const Shape& shape, const Weights& weights, at::Device device);

  Shape shape;
  at::Device device;
  Network encoder, decoder;
  Quantizer quantizer;
  // Frames that go through the networks at once. Blocks begin at its multiples however a signal is
  // cut into pieces, so that the same numbers meet in the same calls.
  int64_t block_frames;
};

// Gathers rows into blocks of a fixed number of them.
class Blocks {
 public:
  explicit Blocks(int64_t rows) : rows_(rows) {}

  // Calls use(block) for each block that `x` [n, columns] completes. The block must not be kept.
  template <class Use>
  void feed(const at::Tensor& x, const Use& use) {
    int64_t from = 0;
    if (filled_ > 0) {
      from = store(x);
      if (filled_ < rows_) return;
      filled_ = 0;
      use(buffer_);
    }
    for (; x.size(0) - from >= rows_; from += rows_) use(x.slice(0, from, from + rows_));
    if (from < x.size(0)) store(x.slice(0, from));
  }
  // Rows that make no whole block: fewer than `rows`, maybe none.
  at::Tensor rest(const at::Tensor& like) const;
  int64_t filled() const { return filled_; }

 private:
  int64_t store(const at::Tensor& x);  // as many as there is room for; returns how many

  int64_t rows_;
  int64_t filled_ = 0;
  at::Tensor buffer_;
};

class BlockEncoder {
 public:
  BlockEncoder(const Codec& codec, int64_t codebooks);
  // float32 [samples] on the CPU -> int64 [codebooks, frames >= 0].
  at::Tensor push(const at::Tensor& samples);
  at::Tensor finish();  // zeros fill the last frame

 private:
  at::Tensor codes_of(const at::Tensor& samples, bool last);

  const Codec& codec_;
  int64_t codebooks_;
  Blocks blocks_;
  Pass pass_;
};

class BlockDecoder {
 public:
  // `padded`: see Pass; without, a signal loses its ends.
  explicit BlockDecoder(const Codec& codec, bool padded = true);
  // int64 [codebooks, frames] on the CPU, each below codebook_size -> float32 [samples >= 0].
  at::Tensor push(const at::Tensor& codes);
  at::Tensor finish();

  // The same, giving each piece to use(samples) as it is made.
  template <class Use>
  void push(const at::Tensor& codes, const Use& use) {
    rows_ = codes.size(0);
    blocks_.feed(codes.t(), [&](const at::Tensor& block) { use(samples_of(block, false)); });
  }

 private:
  at::Tensor samples_of(const at::Tensor& rows, bool last);  // rows [frames, codebooks]

  const Codec& codec_;
  Blocks blocks_;
  Pass pass_;
  int64_t rows_ = 0;  // codebooks of the pieces so far
};

// The whole at once, through the same blocks: float32 [samples] -> int64 [codebooks, frames].
at::Tensor encode(const Codec& codec, const at::Tensor& samples, int64_t codebooks);
// int64 [codebooks, frames] -> float32 [samples].
at::Tensor decode(const Codec& codec, const at::Tensor& codes, bool padded = true);

}  // namespace gamut::dac
