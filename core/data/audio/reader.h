// Audio files as float32 samples: what libsndfile reads (WAV, FLAC, Ogg with Vorbis or Opus, MP3,
// AIFF and more), of any rate, channels and depth, brought to the rate and the channels that are
// asked for, piece by piece, so that the length of a file does not matter.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/tokenizer.h>

#include <cstdint>
#include <filesystem>
#include <memory>

#include "data/audio/input.h"
#include "data/audio/resampler.h"

namespace gamut::data {

// What is wanted of a file; 0 means: as it is in the file.
struct AudioRequest {
  int64_t sample_rate = 0;  // Hz
  int64_t channels = 0;     // 1 or 2, see mix_channels
  // A file that breaks off is refused; with this it is taken as far as it goes.
  bool accepts_truncated = false;
};

// Reads one file from its beginning to its end. Integers become floats as x / 2^(bits - 1); floats
// stay as they are, above 1 too (lossy codecs overshoot). Channels are mixed first, then the rate
// is changed: of N samples come exactly round(N * sample_rate / file's rate), the same bits
// whatever the pieces.
//
// Throws gamut::Error, a sentence that begins with the path, for what cannot be opened, is no
// audio, breaks off, or holds a sample that is not finite.
class AudioReader {
 public:
  explicit AudioReader(const std::filesystem::path& path, const AudioRequest& request = {});

  const AudioFacts& file() const { return input_.facts(); }
  int64_t sample_rate() const { return sample_rate_; }  // Hz, of what read gives
  int64_t channels() const { return channels_; }

  // The next piece, float32 [channels, n >= 1], made from `frames` samples of the file or more;
  // [channels, 0] once, and whenever, everything was read.
  at::Tensor read(int64_t frames = kAudioPiece);
  // Samples a channel of the file that were read so far: all of them once read gave none.
  int64_t samples_of_file() const { return input_.position(); }
  // How many it should have, by its header; 0 where that is not known.
  int64_t samples_claimed() const { return input_.claimed(); }

 private:
  AudioInput input_;
  int64_t sample_rate_, channels_;
  std::unique_ptr<Resampler> resampler_;  // null: the rate stays
  bool at_end_ = false;
};

// The whole file.
Audio read_audio(const std::filesystem::path& path, const AudioRequest& request = {});

// float32 [from, n] as [to, n], `to` 1 or 2. One channel: the mean of all. Two: one doubled, two as
// they are, more than two: their mean, doubled.
at::Tensor mix_channels(const at::Tensor& samples, int64_t to);

}  // namespace gamut::data
