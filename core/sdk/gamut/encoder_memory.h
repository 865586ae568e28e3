// Capability "encoder_memory/1": a mixer that also reads a second sequence, such as an encoder's
// output (cross-attention). Scripts give it as context.memory and context.memory_lengths; mixers
// without this capability are called without it.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/mixer.h>

namespace gamut {

struct EncoderMemory {
  // [entries, steps >= 1, d_memory], in the dtype of x. There is an entry for each row, or with
  // cu_seqlens for each document that it lists, empty ones too.
  at::Tensor values;
  // How many steps of each entry count, int64 [entries] on the CPU, 0 to steps; undefined: all.
  at::Tensor lengths;
};

class __attribute__((visibility("default"))) MemoryReader {
 public:
  static constexpr const char* kId = "encoder_memory/1";
  virtual ~MemoryReader() = default;

  // Channels of the memory.
  virtual int64_t d_memory() const = 0;

  // As Mixer::forward; every step sees all of its document's memory. With a state the memory counts
  // in the first call and is kept in what form the mixer likes: later calls may use
  // Mixer::forward, which without such a state is an error, and what they give again is not read
  // again. Only packed documents bring their memories in every call.
  virtual at::Tensor forward_with_memory(const at::Tensor& x, const EncoderMemory& memory,
                                         MixerContext& context) = 0;
};

// The mixer's reader, or null when it reads no memory. Lives as long as the mixer.
inline MemoryReader* memory_reader_of(Mixer& mixer) {
  return static_cast<MemoryReader*>(mixer.query(MemoryReader::kId));
}

}  // namespace gamut
