// The tokenizer `dac`: Descript Audio Codec, from audio to codes, back, and to files.
#pragma once

#include <gamut/code_files.h>
#include <gamut/codec.h>
#include <gamut/identity.h>
#include <gamut/plugin.h>

#include <memory>
#include <mutex>
#include <string>

#include "codec.h"
#include "dac_file.h"

namespace gamut::dac {

class Dac final : public Tokenizer, public AudioCodec, public CodeFiles, public Identity {
 public:
  static OptionTable options();
  Dac(const Options& options, Host& host);

  TokenizerInfo info() const override;
  at::Tensor encode(const RawData& data) override;
  RawData decode(const at::Tensor& codes) override;
  std::unique_ptr<StreamEncoder> new_encoder() override;
  at::Tensor byte_counts(const at::Tensor& previous, const at::Tensor& target) override;
  void* query(std::string_view id) override;

  int64_t channels() const override { return 1; }
  int64_t hop_length() const override { return codec_->shape.hop_length(); }
  int64_t steps(int64_t samples) const override;
  int64_t samples(int64_t steps) const override { return codec_->shape.samples(steps); }
  std::unique_ptr<StreamDecoder> new_decoder() override;

  std::string extension() const override { return ".dac"; }
  CodeFile parse(std::string_view bytes) const override;
  Audio decode_file(std::string_view bytes) override;
  std::string encode_file(const Audio& audio) override;

  std::map<std::string, std::string> identity() const override;

 private:
  at::Tensor decoded_channel(const DacFile& file, int64_t channel) const;

  std::string weights_;  // the option
  int64_t seed_;
  std::string shape_name_;  // for the identity of random weights
  int64_t codebooks_ = 0;   // that are used
  std::unique_ptr<const Codec> codec_;
  mutable std::once_flag hashed_;
  mutable std::string sha256_;
};

}  // namespace gamut::dac
