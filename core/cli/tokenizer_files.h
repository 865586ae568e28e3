// What `gamut tokenizer encode` and `decode` do, once the tokenizer is made: see tokenizer.cpp.
#pragma once

#include <gamut/tokenizer.h>

#include <filesystem>

#include "data/codes/description.h"

namespace gamut::cli {

struct TokenizerJob {
  Tokenizer& tokenizer;
  data::TokenizerRecord record;
  std::filesystem::path from, to;  // "-" is standard input or output, for text and its ids
  int64_t item = 0;                // of a codes shard, counted from 0
  bool float32 = false;            // WAV with floats rather than 16-bit integers
};

// Text to ids: a shard where `to` ends in .bin, else decimal numbers. Text is read piece by piece.
void encode_text(const TokenizerJob& job);
void decode_text(const TokenizerJob& job);

// Audio to the codec's own file or to a codes shard, and back, by their endings. An hour of sound
// needs no more memory than a minute, but for the codec's own files, whose audio is in memory
// whole.
void encode_audio(const TokenizerJob& job);
void decode_audio(const TokenizerJob& job);

}  // namespace gamut::cli
