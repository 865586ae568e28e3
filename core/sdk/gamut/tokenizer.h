// Contract of a tokenizer: between raw data (text or audio) and integer codes.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/options.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace gamut {

// Audio as float32 [channels, samples] in [-1, 1].
struct Audio {
  at::Tensor samples;
  int64_t sample_rate = 0;  // Hz
};

// What goes in and comes out: the bytes of a text, or audio.
using RawData = std::variant<std::string, Audio>;

struct TokenizerInfo {
  int64_t vocab_size = 0;                      // ids lie in [0, vocab_size)
  int64_t codebooks = 1;                       // rows of a code tensor
  bool is_audio = false;                       // what RawData must hold
  double frame_rate = 0;                       // code columns a second; 0 for text
  int64_t sample_rate = 0;                     // Hz; 0 for text
  std::map<std::string, int64_t> special_ids;  // "pad", "bos", "eos", "unk" where they exist
};

// Encodes input that does not fit in memory, piece by piece. Concatenating what push and finish
// return gives exactly what Tokenizer::encode gives for the whole.
class __attribute__((visibility("default"))) StreamEncoder {
 public:
  virtual ~StreamEncoder() = default;
  virtual at::Tensor push(const RawData& piece) = 0;  // int64 [codebooks, steps >= 0]
  virtual at::Tensor finish() = 0;                    // the rest
};

class __attribute__((visibility("default"))) Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual TokenizerInfo info() const = 0;
  virtual at::Tensor encode(const RawData& data) = 0;   // -> int64 [codebooks, steps]
  virtual RawData decode(const at::Tensor& codes) = 0;  // special ids decode to nothing
  virtual std::unique_ptr<StreamEncoder> new_encoder() = 0;

  // Text only. Bytes that predicting `target` [n] after `previous` [n] accounts for, int64 [n]:
  // the denominator of bits per byte. Undefined tensor for audio.
  virtual at::Tensor byte_counts(const at::Tensor& previous, const at::Tensor& target) = 0;

  // As Mixer::query. "text.normalizes/1" (any non-null pointer) says that decode gives back the
  // text as the tokenizer normalises it, not byte by byte. Without it, UTF-8 comes back exactly;
  // bytes that are not UTF-8 may be repaired.
  virtual void* query(std::string_view /*id*/) { return nullptr; }
};

}  // namespace gamut
