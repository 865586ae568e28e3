// A stretch of an item back to audio, in a file.
#pragma once

#include <gamut/tokenizer.h>

#include <cstdint>
#include <filesystem>
#include <functional>

#include "data/audio/writer.h"
#include "data/codes/set.h"

namespace gamut::data {

struct CodeStretch {
  int64_t item = 0;
  double start = 0;       // seconds
  double seconds = 0;     // 0: to the end of the item
  int64_t codebooks = 0;  // leading ones; 0: all
};

struct DecodeOptions {
  AudioEncoding encoding = AudioEncoding::pcm16;
  // Called now and then with the seconds of audio that are done, and all of them.
  std::function<void(double, double)> progress;
};

struct DecodedStretch {
  int64_t begin = 0, frames = 0;  // of the item
  int64_t samples = 0;            // a channel
  int64_t channels = 0, sample_rate = 0;
};

// Writes `path` (.wav or .flac). Memory does not grow with the length. A second of codes before the
// stretch is decoded too, and left out, so that a stretch sounds as it does inside of the whole;
// the last frame is cut where the recording ended. Throws gamut::Error for a stretch that is not in
// the item, and for a tokenizer that did not make these codes: only its version may differ.
DecodedStretch decode_stretch(const CodeSet& set, Tokenizer& tokenizer,
                              const TokenizerRecord& record, const CodeStretch& stretch,
                              const std::filesystem::path& path, const DecodeOptions& options = {});

}  // namespace gamut::data
