// Text to ids, whole or in pieces.
#pragma once

#include <sentencepiece_processor.h>

#include <string>
#include <string_view>
#include <vector>

#include "text_cuts.h"

namespace gamut::sentencepiece_plugin {

// Appends to `ids` as soon as nothing that follows can change them. What it is given in pieces has
// the ids of the whole, for any pieces. Text without a cut (see TextCuts) waits until finish().
class TextEncoder {
 public:
  TextEncoder(const ::sentencepiece::SentencePieceProcessor& model, const TextCuts& cuts);
  void push(std::string_view piece, std::vector<int>& ids);
  void finish(std::string_view last, std::vector<int>& ids);

 private:
  // What the library is given at once, about: its memory is many times that of the text.
  static constexpr size_t kBlock = size_t{1} << 16;  // bytes

  void take(std::string_view piece, std::vector<int>& ids);
  void encode(std::string_view text, std::vector<int>& ids);

  const ::sentencepiece::SentencePieceProcessor& model_;
  const TextCuts& cuts_;
  std::vector<int> guard_;  // ids of TextCuts::kGuard at the beginning of a text
  std::string pending_;
  size_t searched_ = 0;   // no cut lies in front of it
  bool started_ = false;  // some id was given
};

}  // namespace gamut::sentencepiece_plugin
