// .dac files: a NumPy array file (.npy) whose one object is a pickled dictionary.
//
// Reading is a plain function over bytes. It knows the opcodes of such a dictionary and builds
// values from them; no global is looked up and nothing is ever called.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gamut::dac {

struct DacFile {
  int64_t batch = 0;  // first axis of the codes: the channels
  int64_t codebooks = 0;
  int64_t frames = 0;
  std::vector<uint16_t> codes;  // [batch, codebooks, frames]
  std::vector<float> input_db;  // LUFS of the audio before it was encoded: one, or one a channel
  int64_t original_length = 0;  // samples, at sample_rate
  int64_t sample_rate = 0;      // Hz, of the audio before it was resampled
  int64_t chunk_length = 0;     // frames that are decoded together
  int64_t channels = 0;
  bool padding = true;  // chunks were encoded with zeros around every layer's input
  std::string version;  // "1.0.0"
};

// Throws gamut::Error that says at which byte what is wrong.
DacFile parse_dac_file(std::string_view bytes);

// The bytes that parse_dac_file reads, and every version of NumPy.
std::string write_dac_file(const DacFile& file);

}  // namespace gamut::dac
