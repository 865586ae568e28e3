// .ecdc files, the compressed audio of the authors' program (encodec/binary.py and compress.py of
// its package, version 0.1.1), without the entropy coding that needs its language model. No
// LibTorch here: what reads bytes of unknown origin stands alone, and is fuzzed.
//
// A file is "ECDC", the version 0 in a byte, the length of the header as a big-endian uint32, the
// header as JSON {"m": model, "al": samples a channel, "nc": codebooks, "lm": entropy coded or
// not}, and then the segments: at 48 kHz a big-endian float, the scale; then codes of 10 bits, all
// codebooks of the first frame, then of the second, least significant bit first, the last byte
// filled up with zeros.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gamut::encodec {

// What the name of a model in a file's header stands for.
struct EcdcModel {
  const char* name;
  int64_t sample_rate, channels, hop_length, codebooks;
  int64_t segment, segment_stride;  // samples; 0 and 0: the signal is one segment
  bool has_scales;
};

// Null for a model that the authors' program does not know.
const EcdcModel* find_ecdc_model(std::string_view name);

struct EcdcSegment {
  float scale = 1;
  int64_t frames = 0;
  std::vector<uint16_t> codes;  // [frames, codebooks]
};

struct EcdcFile {
  const EcdcModel* model = nullptr;
  int64_t samples = 0;  // a channel
  int64_t codebooks = 0;
  std::vector<EcdcSegment> segments;
};

// Throws gamut::Error with the byte where a file stops making sense. Allocates no more than the
// bytes there are can fill.
EcdcFile parse_ecdc(std::string_view bytes);

// The bytes that the authors' program writes for the same codes.
std::string write_ecdc(const EcdcFile& file);

}  // namespace gamut::encodec
