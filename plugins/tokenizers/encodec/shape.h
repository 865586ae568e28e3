// Sizes of an EnCodec model: those of the published ones, of a configuration file, of options.
#pragma once

#include <gamut/options.h>

#include <cstdint>
#include <string>
#include <vector>

namespace gamut::encodec {

// Field for field what transformers' EncodecConfig and the constructors of the authors' package
// take. The defaults are the model for 24 kHz.
struct Shape {
  std::string name = "encodec_24khz";  // in .ecdc files; empty: the authors' program has no such
  int64_t sample_rate = 24000;
  int64_t channels = 1;
  int64_t n_filters = 32;
  int64_t dimension = 128;                  // of latents and codebook rows
  std::vector<int64_t> ratios{8, 5, 4, 2};  // strides of the decoder; the encoder's are reversed
  int64_t residual_layers = 1;              // blocks a scale
  int64_t kernel_size = 7;                  // of the first convolution
  int64_t last_kernel_size = 7;             // of the last
  int64_t residual_kernel_size = 3;
  int64_t dilation_base = 2;
  int64_t compress = 2;  // residual blocks are narrower by this
  int64_t lstm_layers = 2;
  int64_t codebooks = 32;
  int64_t codebook_size = 1024;
  bool causal = true;
  bool group_norm = false;    // GroupNorm(1) in place of weight norm
  bool normalize = false;     // segments are divided by their RMS
  bool conv_shortcut = true;  // 1x1 convolution around a block, or the identity
  int64_t segment = 0;        // samples; 0: the signal is one piece
  int64_t segment_stride = 0;
  bool told = true;  // false: nothing named the sizes, which are 24khz's for want of better

  int64_t hop_length() const;  // samples a frame
  int64_t frame_rate() const;  // frames a second, rounded up as the authors' package does
  int64_t bits() const;        // of one code
  int64_t widest() const;      // channels between encoder and LSTM
  // "sample_rate 24000, channels 1, ...": all that decides what codes mean.
  std::string text() const;
};

// "24khz", "48khz" or "32khz" (MusicGen's).
Shape shape_of_variant(const std::string& variant);

// From transformers' config.json; `where` names it in messages. A file of a model that holds an
// EnCodec as its `audio_encoder` will do.
Shape shape_of_config(const std::string& json, const std::string& where);

// The shape for a tokenizer's options: that of `variant`; without it, of the configuration beside
// the file of weights (NAME_config.json for NAME.safetensors, or config.json); without that, of
// 24khz. Sizes that are options themselves come last. Throws gamut::Error.
Shape shape_of_options(const Options& options);

// Leading codebooks at so many kbps. Throws unless that is a whole number of this model's.
int64_t codebooks_at(const Shape& shape, double kbps);

}  // namespace gamut::encodec
