// One audio file opened by libsndfile: its samples as they are, with what is wrong said in words.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

struct sf_private_tag;  // libsndfile's SNDFILE

namespace gamut::data {

// Samples a channel that are read at a time when nobody says otherwise.
constexpr int64_t kAudioPiece = int64_t{1} << 16;

// What a file says of itself.
struct AudioFacts {
  std::string format;       // "WAV (Microsoft), Signed 16 bit PCM"
  int64_t sample_rate = 0;  // Hz
  int64_t channels = 0;
};

class AudioInput {
 public:
  // Throws gamut::Error for what is no audio file, and unless `accepts_truncated` for one that
  // breaks off (see truncation.h).
  AudioInput(std::filesystem::path path, bool accepts_truncated);
  ~AudioInput();
  AudioInput(const AudioInput&) = delete;
  AudioInput& operator=(const AudioInput&) = delete;

  const AudioFacts& facts() const { return facts_; }
  int64_t position() const { return position_; }  // samples a channel read so far
  int64_t claimed() const { return claimed_; }    // of all, as the header says; 0: unknown

  // At most `frames` samples a channel, float32 [channels, n]; n is 0 at the end only. The length
  // that an MP3 file claims is not relied on: libsndfile may have it wrong.
  at::Tensor read(int64_t frames);

 private:
  void check_finite(const float* samples, int64_t frames) const;
  void check_end() const;

  std::filesystem::path path_;
  bool accepts_truncated_;
  sf_private_tag* file_ = nullptr;
  AudioFacts facts_;
  int64_t claimed_ = 0;  // samples a channel, where the format is to be believed; 0: unknown
  int64_t position_ = 0;
  std::vector<float> buffer_;
};

}  // namespace gamut::data
