// Capability "audio.codec/1" of tokenizers of audio: how samples and frames relate, and decoding
// of code sequences that are longer than memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

namespace gamut {

// Decodes codes piece by piece. Concatenating what push and finish return gives what
// Tokenizer::decode gives for the whole: no joint can be heard, or measured above rounding.
class __attribute__((visibility("default"))) StreamDecoder {
 public:
  virtual ~StreamDecoder() = default;
  // int64 [codebooks, steps >= 0] -> float32 [channels, samples >= 0]
  virtual at::Tensor push(const at::Tensor& codes) = 0;
  virtual at::Tensor finish() = 0;  // the rest
};

class __attribute__((visibility("default"))) AudioCodec {
 public:
  static constexpr const char* kId = "audio.codec/1";
  virtual ~AudioCodec() = default;

  virtual int64_t channels() const = 0;
  // Samples from the start of a frame to the start of the next.
  virtual int64_t hop_length() const = 0;
  // Steps that Tokenizer::encode gives for so many samples, and samples that Tokenizer::decode
  // gives for so many steps.
  virtual int64_t steps(int64_t samples) const = 0;
  virtual int64_t samples(int64_t steps) const = 0;

  // Codes with fewer rows than TokenizerInfo::codebooks are the leading codebooks: decode and the
  // decoder take them, and sound coarser. The number of rows is that of the first piece.
  virtual std::unique_ptr<StreamDecoder> new_decoder() = 0;
};

}  // namespace gamut
