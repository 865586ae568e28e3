// Bytes that an id stands for, as Parameter Golf counts them for bits per byte.
#pragma once

#include <ATen/core/Tensor.h>
#include <sentencepiece_processor.h>

#include <cstdint>
#include <vector>

namespace gamut::sentencepiece_plugin {

// bytes(previous, target) = base[target] + (leading_space[target] and not boundary[previous]).
// A piece has its bytes of UTF-8 without a leading U+2581, which is the space that the second term
// counts; a byte piece has 1. Control, unknown and unused ids, and ids beyond the model's, have 0
// bytes and are a boundary: the space of a piece behind them is in no text.
class ByteTable {
 public:
  explicit ByteTable(const ::sentencepiece::SentencePieceProcessor& model);

  // Of integer tensors of one shape, on any device; int64 of that shape on the CPU. Throws
  // gamut::Error for other shapes and types, and for negative ids.
  at::Tensor counts(const at::Tensor& previous, const at::Tensor& target) const;

 private:
  struct Entry {
    int64_t base = 0;
    bool leading_space = false;
    bool boundary = true;
  };
  const Entry& of(int64_t id) const;

  std::vector<Entry> entries_;  // by id, and one more for all ids beyond
};

}  // namespace gamut::sentencepiece_plugin
