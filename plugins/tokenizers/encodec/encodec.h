// EnCodec (Défossez et al. 2022) as a tokenizer: audio to the codes of a residual quantizer and
// back, at 24 kHz mono, 48 kHz stereo, and in the form of MusicGen's 32 kHz.
#pragma once

#include <gamut/code_files.h>
#include <gamut/codec.h>
#include <gamut/identity.h>
#include <gamut/plugin.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ecdc.h"
#include "streams.h"

namespace gamut::encodec {

class Encodec final : public Tokenizer, public AudioCodec, public CodeFiles, public Identity {
 public:
  static OptionTable options();
  Encodec(const Options& options, Host& host);

  TokenizerInfo info() const override;
  // Audio float [channels, N] at the model's rate -> int64 [codebooks, steps(N)].
  at::Tensor encode(const RawData& data) override;
  // int64 [1..codebooks, steps] -> Audio float32 [channels, samples(steps)].
  RawData decode(const at::Tensor& codes) override;
  std::unique_ptr<StreamEncoder> new_encoder() override;
  at::Tensor byte_counts(const at::Tensor& previous, const at::Tensor& target) override;
  void* query(std::string_view id) override;

  int64_t channels() const override { return shape().channels; }
  int64_t hop_length() const override { return shape().hop_length(); }
  int64_t steps(int64_t samples) const override;
  int64_t samples(int64_t steps) const override;
  std::unique_ptr<StreamDecoder> new_decoder() override;

  std::string extension() const override { return ".ecdc"; }
  CodeFile parse(std::string_view bytes) const override;
  Audio decode_file(std::string_view bytes) override;
  std::string encode_file(const Audio& audio) override;

  // The weights' SHA-256 (or the seed of random ones), and the shape.
  std::map<std::string, std::string> identity() const override { return identity_; }

 private:
  const Shape& shape() const { return model_->shape(); }
  std::vector<CodedSegment> encode_segments(const at::Tensor& samples) const;

  std::shared_ptr<const Model> model_;
  const EcdcModel* file_model_;  // null: no .ecdc files hold codes of such a model
  std::map<std::string, std::string> identity_;
  float scale_;
};

}  // namespace gamut::encodec
