// Wrappers of tokenizers, of their capabilities and of what those make: each call inside `guarded`.
#include <gamut/code_files.h>
#include <gamut/codec.h>
#include <gamut/identity.h>

#include <utility>

#include "plugin_host/guard.h"

namespace gamut::host {
namespace {

class GuardedStreamEncoder final : public StreamEncoder {
 public:
  GuardedStreamEncoder(std::unique_ptr<StreamEncoder> encoder, Label label)
      : encoder_(std::move(encoder)), label_(std::move(label)) {}
  at::Tensor push(const RawData& piece) override {
    return guarded(label_, "streaming encode", [&] { return encoder_->push(piece); });
  }
  at::Tensor finish() override {
    return guarded(label_, "streaming encode", [&] { return encoder_->finish(); });
  }

 private:
  std::unique_ptr<StreamEncoder> encoder_;
  Label label_;
};

class GuardedStreamDecoder final : public StreamDecoder {
 public:
  GuardedStreamDecoder(std::unique_ptr<StreamDecoder> decoder, Label label)
      : decoder_(std::move(decoder)), label_(std::move(label)) {}
  at::Tensor push(const at::Tensor& codes) override {
    return guarded(label_, "streaming decode", [&] { return decoder_->push(codes); });
  }
  at::Tensor finish() override {
    return guarded(label_, "streaming decode", [&] { return decoder_->finish(); });
  }

 private:
  std::unique_ptr<StreamDecoder> decoder_;
  Label label_;
};

class GuardedCodec final : public AudioCodec {
 public:
  GuardedCodec(AudioCodec& codec, const Label& label) : codec_(codec), label_(label) {}
  int64_t channels() const override {
    return guarded(label_, "channels", [&] { return codec_.channels(); });
  }
  int64_t hop_length() const override {
    return guarded(label_, "hop_length", [&] { return codec_.hop_length(); });
  }
  int64_t steps(int64_t samples) const override {
    return guarded(label_, "steps", [&] { return codec_.steps(samples); });
  }
  int64_t samples(int64_t steps) const override {
    return guarded(label_, "samples", [&] { return codec_.samples(steps); });
  }
  std::unique_ptr<StreamDecoder> new_decoder() override {
    auto decoder = guarded(label_, "new_decoder", [&] { return codec_.new_decoder(); });
    GAMUT_CHECK(decoder, label_.text(), " failed in new_decoder: it returned nothing");
    return std::make_unique<GuardedStreamDecoder>(std::move(decoder), label_);
  }

 private:
  AudioCodec& codec_;
  const Label& label_;
};

class GuardedCodeFiles final : public CodeFiles {
 public:
  GuardedCodeFiles(CodeFiles& files, const Label& label) : files_(files), label_(label) {}
  std::string extension() const override {
    return guarded(label_, "extension", [&] { return files_.extension(); });
  }
  CodeFile parse(std::string_view bytes) const override {
    return guarded(label_, "reading a code file", [&] { return files_.parse(bytes); });
  }
  Audio decode_file(std::string_view bytes) override {
    return guarded(label_, "decoding a code file", [&] { return files_.decode_file(bytes); });
  }
  std::string encode_file(const Audio& audio) override {
    return guarded(label_, "encoding a code file", [&] { return files_.encode_file(audio); });
  }

 private:
  CodeFiles& files_;
  const Label& label_;
};

class GuardedIdentity final : public Identity {
 public:
  GuardedIdentity(Identity& identity, const Label& label) : identity_(identity), label_(label) {}
  std::map<std::string, std::string> identity() const override {
    return guarded(label_, "identity", [&] { return identity_.identity(); });
  }

 private:
  Identity& identity_;
  const Label& label_;
};

class GuardedTokenizer final : public Tokenizer {
 public:
  GuardedTokenizer(std::unique_ptr<Tokenizer> tokenizer, Label label)
      : tokenizer_(std::move(tokenizer)),
        label_(std::move(label)),
        codec_(wrapped<GuardedCodec, AudioCodec>()),
        files_(wrapped<GuardedCodeFiles, CodeFiles>()),
        identity_(wrapped<GuardedIdentity, Identity>()) {}
  TokenizerInfo info() const override {
    return guarded(label_, "info", [&] { return tokenizer_->info(); });
  }
  at::Tensor encode(const RawData& data) override {
    return guarded(label_, "encode", [&] { return tokenizer_->encode(data); });
  }
  RawData decode(const at::Tensor& codes) override {
    return guarded(label_, "decode", [&] { return tokenizer_->decode(codes); });
  }
  std::unique_ptr<StreamEncoder> new_encoder() override {
    auto encoder = guarded(label_, "new_encoder", [&] { return tokenizer_->new_encoder(); });
    GAMUT_CHECK(encoder, label_.text(), " failed in new_encoder: it returned nothing");
    return std::make_unique<GuardedStreamEncoder>(std::move(encoder), label_);
  }
  at::Tensor byte_counts(const at::Tensor& previous, const at::Tensor& target) override {
    return guarded(label_, "byte_counts",
                   [&] { return tokenizer_->byte_counts(previous, target); });
  }
  // A capability that this file does not know goes out as it is.
  void* query(std::string_view id) override {
    if (id == AudioCodec::kId) return static_cast<AudioCodec*>(codec_.get());
    if (id == CodeFiles::kId) return static_cast<CodeFiles*>(files_.get());
    if (id == Identity::kId) return static_cast<Identity*>(identity_.get());
    return guarded(label_, "query", [&] { return tokenizer_->query(id); });
  }

 private:
  template <class Guarded, class Capability>
  std::unique_ptr<Guarded> wrapped() {
    void* const found =
        guarded(label_, "query", [&] { return tokenizer_->query(Capability::kId); });
    return found ? std::make_unique<Guarded>(*static_cast<Capability*>(found), label_) : nullptr;
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  Label label_;
  std::unique_ptr<GuardedCodec> codec_;
  std::unique_ptr<GuardedCodeFiles> files_;
  std::unique_ptr<GuardedIdentity> identity_;
};

}  // namespace

std::unique_ptr<Tokenizer> guard(std::unique_ptr<Tokenizer> tokenizer, Label label) {
  return std::make_unique<GuardedTokenizer>(std::move(tokenizer), std::move(label));
}

}  // namespace gamut::host
