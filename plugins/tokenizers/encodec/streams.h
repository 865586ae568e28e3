// Signals and codes of any length through a model, in memory that does not grow with them. Work is
// done in blocks that begin at multiples of the same length, or segment by segment, so that it does
// not matter how a signal comes: the same codes and samples come out, bit by bit.
#pragma once

#include <gamut/codec.h>
#include <gamut/tokenizer.h>

#include <memory>
#include <vector>

#include "model.h"
#include "segments.h"

namespace gamut::encodec {

// Frames of a block.
constexpr int64_t kBlockFrames = 48;

// A segment's codes int64 [codebooks, frames], and what its samples were divided by: their RMS, or
// 1 for models that do not normalise.
struct CodedSegment {
  at::Tensor codes;
  float scale = 1;
};

// samples [channels, 1 or more] -> codes. `first` is where they begin, for messages.
CodedSegment encode_segment(const Model& model, const at::Tensor& samples, int64_t first);
// codes [1..codebooks, 1 or more] -> [channels, frames * hop_length] on the CPU.
at::Tensor decode_segment(const Model& model, const CodedSegment& segment);

// samples [channels, N] -> codes [codebooks, steps], block by block or segment by segment.
class Encoding {
 public:
  explicit Encoding(std::shared_ptr<const Model> model);
  // Codes of all blocks that are complete, one tensor each or none; `last`: of what is left too.
  void push(const at::Tensor& samples, bool last, std::vector<at::Tensor>& codes);

 private:
  void push_blocks(bool last, std::vector<at::Tensor>& codes);
  void push_segments(bool last, std::vector<at::Tensor>& codes);

  std::shared_ptr<const Model> model_;
  Pass pass_;
  at::Tensor waiting_;  // samples that fill no block yet
  int64_t taken_ = 0;   // samples before them
};

// codes [rows, steps] -> samples [channels, N].
class Decoding {
 public:
  // Segments are multiplied by `scale`, since codes do not say how loud they were.
  Decoding(std::shared_ptr<const Model> model, float scale);
  void push(const at::Tensor& codes, bool last, std::vector<at::Tensor>& samples);

 private:
  void push_blocks(bool last, std::vector<at::Tensor>& samples);
  void push_segments(bool last, std::vector<at::Tensor>& samples);

  std::shared_ptr<const Model> model_;
  Pass pass_;
  Joiner joiner_;
  float scale_;
  at::Tensor waiting_;
};

// Throw gamut::Error unless the audio or the codes are what the model takes; `done` in messages.
// Returns samples float32 [channels, N], and codes int64 [1..codebooks, steps].
at::Tensor checked_samples(const Model& model, const RawData& data);
at::Tensor checked_codes(const Model& model, const at::Tensor& codes);

std::unique_ptr<StreamEncoder> make_stream_encoder(const std::shared_ptr<const Model>& model);
std::unique_ptr<StreamDecoder> make_stream_decoder(const std::shared_ptr<const Model>& model,
                                                   float scale);

}  // namespace gamut::encodec
