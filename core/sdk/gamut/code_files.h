// Capability "code_files/1" of tokenizers of audio: the codec's own compressed files, such as .dac
// and .ecdc, exchanged with the programs of its authors.
#pragma once

#include <gamut/tokenizer.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace gamut {

// What such a file holds, before any of it is decoded.
struct CodeFile {
  at::Tensor codes;  // int64 [codebooks, steps], of all channels and segments in file order
  int64_t sample_rate = 0;
  int64_t samples = 0;  // a channel, of the audio that was encoded
  int64_t channels = 1;
  std::map<std::string, std::string> facts;  // the rest of the header, for people
};

class __attribute__((visibility("default"))) CodeFiles {
 public:
  static constexpr const char* kId = "code_files/1";
  virtual ~CodeFiles() = default;

  virtual std::string extension() const = 0;  // ".dac"
  // Throws gamut::Error that says at which byte what is wrong; never reads out of `bytes`, never
  // runs what a file asks to run.
  virtual CodeFile parse(std::string_view bytes) const = 0;
  // The audio as the codec's own program decodes the file: its segments, its loudness, its length.
  virtual Audio decode_file(std::string_view bytes) = 0;
  // The bytes of a file that the codec's own program reads.
  virtual std::string encode_file(const Audio& audio) = 0;
};

}  // namespace gamut
