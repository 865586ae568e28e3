// The sizes of a DAC model, and where they come from: a published variant, the weights file or the
// options.
#pragma once

#include <gamut/options.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gamut::dac {

// Named as the constructor arguments of descript-audio-codec's DAC; the defaults are its 44.1 kHz
// model of 8 kbit/s.
struct Shape {
  int64_t sample_rate = 44100;
  int64_t encoder_dim = 64;
  std::vector<int64_t> encoder_rates = {2, 4, 8, 8};
  int64_t latent_dim = 1024;
  int64_t decoder_dim = 1536;
  std::vector<int64_t> decoder_rates = {8, 8, 4, 2};
  int64_t codebooks = 9;
  int64_t codebook_size = 1024;
  int64_t codebook_dim = 8;
  bool told = true;  // false: nothing named the sizes, which are 44khz's for want of better

  int64_t hop_length() const;  // samples a frame
  // Samples that decoding so many frames gives. An odd rate loses a sample on the way, which the
  // later rates multiply.
  int64_t samples(int64_t frames) const;
  // Of unit widths: encoder_dim doubles at each rate, decoder_dim halves.
  int64_t encoder_width(size_t block) const { return encoder_dim << block; }
  int64_t decoder_width(size_t block) const { return decoder_dim >> block; }
};

// "44khz", "44khz_16kbps", "24khz", "16khz".
std::vector<std::string> variant_names();
Shape variant(const std::string& name);

// The sizes that differ from those of the variant, by the names of their options.
std::map<std::string, std::string> sizes_beside(const std::string& variant, const Shape& shape);

// The options that name a size.
OptionTable shape_options();

// The shape for `weights`, a path or the word random: sizes among the options, else those of the
// option `variant`, else those that the file brings (`kwargs` in its metadata, or the
// configuration beside it), else those of 44khz. Throws gamut::Error for sizes that make no model.
Shape shape_of(const Options& options, const std::string& weights,
               const std::map<std::string, std::string>& metadata);

}  // namespace gamut::dac
