// Audio to a file: WAV with 16-bit integers or 32-bit floats, or FLAC with 16 bits.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/tokenizer.h>

#include <cstdint>
#include <filesystem>

struct sf_private_tag;

namespace gamut::data {

enum class AudioEncoding { pcm16, float32 };

// Writes piece by piece. The file appears under its name when it is complete and on disk; destroyed
// without finish(), nothing does. Equal samples give equal bytes.
//
// pcm16 rounds x * 32768 and clips it to 16 bits, so what was read from 16 bits is written back as
// it was. float32 is written as it is, above 1 too.
class AudioWriter {
 public:
  // The format follows from the extension, .wav or .flac (pcm16 only). Throws gamut::Error for
  // others, and where the file cannot be made.
  AudioWriter(std::filesystem::path path, int64_t sample_rate, int64_t channels,
              AudioEncoding encoding = AudioEncoding::pcm16);
  ~AudioWriter();
  AudioWriter(const AudioWriter&) = delete;
  AudioWriter& operator=(const AudioWriter&) = delete;

  // float [channels, n], finite.
  void write(const at::Tensor& samples);
  void finish();

 private:
  void write_pcm16(const float* samples, int64_t frames);
  [[noreturn]] void fail(const char* what);

  std::filesystem::path path_, temporary_;
  int64_t sample_rate_, channels_;
  AudioEncoding encoding_;
  int64_t written_ = 0;  // samples a channel
  sf_private_tag* file_ = nullptr;
};

// The whole of it.
void write_audio(const std::filesystem::path& path, const Audio& audio,
                 AudioEncoding encoding = AudioEncoding::pcm16);

}  // namespace gamut::data
