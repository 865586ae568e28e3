// What a model file says that the library keeps to itself: how it cuts text, and its rules.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gamut::sentencepiece_plugin {

enum class ModelType : uint64_t { unigram = 1, bpe = 2, word = 3, character = 4 };

// Fields of sentencepiece_model.proto, with the defaults that stand there.
struct ModelFacts {
  ModelType type = ModelType::unigram;
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  // The normaliser's rules: uint32 size of a Darts double array, the array, then the replacements.
  std::string charsmap;
};

// From the bytes of a model file. Throws gamut::Error where they are no protocol buffer.
ModelFacts read_facts(std::string_view model);

}  // namespace gamut::sentencepiece_plugin
