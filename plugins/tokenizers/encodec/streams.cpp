#include "streams.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <algorithm>
#include <utility>

namespace gamut::encodec {
namespace {

at::Tensor join(const at::Tensor& before, const at::Tensor& after) {
  if (!before.defined() || before.size(1) == 0) return after;
  return after.size(1) == 0 ? before : at::cat({before, after}, 1);
}

// A copy of its own, so that what is left of a long signal does not keep the whole of it.
at::Tensor kept(const at::Tensor& rest) {
  return rest.clone(at::MemoryFormat::Contiguous);
}

void check_finite(const at::Tensor& samples, int64_t first) {
  const at::Tensor finite = at::isfinite(samples).all(0);
  if (finite.all().item<bool>()) return;
  const auto at = at::argmin(finite.to(at::kByte)).item<int64_t>();
  throw Error(c10::str("sample ", first + at,
                       " of the audio is not finite; it would make everything after it so"));
}

// [channels, time] anywhere -> [time, channels] where the model is.
at::Tensor channels_last(const at::Tensor& samples, const Model& model) {
  return samples.to(model.device()).t().contiguous();
}

at::Tensor codes_of(const Model& model, const at::Tensor& latents) {
  return model.quantizer().encode(latents).to(at::kCPU);
}

at::Tensor samples_of(const at::Tensor& y) {
  return y.t().to(at::kCPU).contiguous();
}

at::Tensor latents_of(const Model& model, const at::Tensor& codes) {
  return model.quantizer().decode(codes.to(model.device()));
}

// RMS of the mean of channels, as the authors' package takes it.
float rms_of(const at::Tensor& x) {
  return x.mean(1).pow(2).mean().sqrt().add(1e-8).item<float>();
}

}  // namespace

CodedSegment encode_segment(const Model& model, const at::Tensor& samples, int64_t first) {
  check_finite(samples, first);
  at::Tensor x = channels_last(samples, model);
  CodedSegment segment;
  if (model.shape().normalize) {
    segment.scale = rms_of(x);
    x = x / segment.scale;
  }
  segment.codes = codes_of(model, Pass(model.encoder()).run(x, /*last=*/true));
  return segment;
}

at::Tensor decode_segment(const Model& model, const CodedSegment& segment) {
  const at::Tensor latents = latents_of(model, segment.codes);
  const at::Tensor samples = samples_of(Pass(model.decoder()).run(latents, /*last=*/true));
  return model.shape().normalize ? samples * segment.scale : samples;
}

// ---- Encoding

Encoding::Encoding(std::shared_ptr<const Model> model)
    : model_(std::move(model)), pass_(model_->encoder()) {}

void Encoding::push(const at::Tensor& samples, bool last, std::vector<at::Tensor>& codes) {
  const at::NoGradGuard no_grad;
  waiting_ = join(waiting_, samples);
  if (model_->shape().segment > 0) {
    push_segments(last, codes);
  } else {
    push_blocks(last, codes);
  }
  waiting_ = kept(waiting_);
}

void Encoding::push_blocks(bool last, std::vector<at::Tensor>& codes) {
  const int64_t block = kBlockFrames * model_->shape().hop_length();
  while (waiting_.size(1) >= block || (last && taken_ + waiting_.size(1) > 0)) {
    const at::Tensor now = waiting_.slice(1, 0, block);
    const bool end = last && waiting_.size(1) < block;
    check_finite(now, taken_);
    const at::Tensor latents = pass_.run(channels_last(now, *model_), end);
    if (latents.size(0) > 0) codes.push_back(codes_of(*model_, latents));
    taken_ += now.size(1);
    waiting_ = waiting_.slice(1, now.size(1));
    if (end) break;
  }
}

// A segment is complete when it has its length; the last ones are as long as the signal lets them.
void Encoding::push_segments(bool last, std::vector<at::Tensor>& codes) {
  const Segments segments(model_->shape());
  while (waiting_.size(1) >= segments.length || (last && waiting_.size(1) > 0)) {
    const at::Tensor now = waiting_.slice(1, 0, segments.length);
    codes.push_back(encode_segment(*model_, now, taken_).codes);
    const int64_t step = std::min(segments.stride, waiting_.size(1));
    taken_ += step;
    waiting_ = waiting_.slice(1, step);
  }
}

// ---- Decoding

Decoding::Decoding(std::shared_ptr<const Model> model, float scale)
    : model_(std::move(model)),
      pass_(model_->decoder()),
      joiner_(model_->shape().segment_stride),
      scale_(scale) {}

void Decoding::push(const at::Tensor& codes, bool last, std::vector<at::Tensor>& samples) {
  const at::NoGradGuard no_grad;
  waiting_ = join(waiting_, codes);
  if (model_->shape().segment > 0) {
    push_segments(last, samples);
  } else {
    push_blocks(last, samples);
  }
  waiting_ = kept(waiting_);
}

void Decoding::push_blocks(bool last, std::vector<at::Tensor>& samples) {
  while (waiting_.size(1) >= kBlockFrames || last) {
    const at::Tensor now = waiting_.slice(1, 0, kBlockFrames);
    const bool end = last && waiting_.size(1) < kBlockFrames;
    const at::Tensor y = pass_.run(latents_of(*model_, now), end);
    if (y.size(0) > 0) samples.push_back(samples_of(y));
    waiting_ = waiting_.slice(1, now.size(1));
    if (end) break;
  }
}

// How the steps divide into segments is known but for the last two while more may come.
void Decoding::push_segments(bool last, std::vector<at::Tensor>& samples) {
  const Segments segments(model_->shape());
  const std::vector<int64_t> frames = segments.layout(waiting_.size(1));
  const size_t undecided = last ? 0 : std::min<size_t>(2, frames.size());
  int64_t from = 0;
  for (size_t i = 0; i + undecided < frames.size(); from += frames[i++]) {
    const at::Tensor now = waiting_.slice(1, from, from + frames[i]);
    samples.push_back(joiner_.push(decode_segment(*model_, {now, scale_})));
  }
  waiting_ = waiting_.slice(1, from);
  if (!last) return;
  const at::Tensor rest = joiner_.finish();
  if (rest.defined()) samples.push_back(rest);
}

// ---- checks

at::Tensor checked_samples(const Model& model, const RawData& data) {
  const auto* audio = std::get_if<Audio>(&data);
  const Shape& shape = model.shape();
  GAMUT_CHECK(audio, "the tokenizer `encodec` encodes audio, and was given text");
  const at::Tensor& samples = audio->samples;
  GAMUT_CHECK(audio->sample_rate == shape.sample_rate, "the audio has ", audio->sample_rate,
              " Hz and this EnCodec works at ", shape.sample_rate,
              " Hz; resample it first (`gamut data prepare` does)");
  GAMUT_CHECK(samples.defined() && samples.dim() == 2 && samples.is_floating_point(),
              "audio must be floating-point [channels, samples], got ",
              samples.defined() ? c10::str(samples.dtype(), " ", samples.sizes()) : "nothing");
  GAMUT_CHECK(samples.size(0) == shape.channels, "the audio has ", samples.size(0),
              " channels and this EnCodec takes ", shape.channels,
              "; mix them down, or repeat "
              "one, before encoding");
  return samples.detach().to(at::kFloat);
}

at::Tensor checked_codes(const Model& model, const at::Tensor& codes) {
  const int64_t most = model.quantizer().codebooks(), size = model.shape().codebook_size;
  GAMUT_CHECK(codes.defined() && codes.dim() == 2 && codes.size(0) >= 1 && codes.size(0) <= most &&
                  at::isIntegralType(codes.scalar_type(), /*includeBool=*/false),
              "codes must be integers [1 to ", most, " codebooks, steps], got ",
              codes.defined() ? c10::str(codes.dtype(), " ", codes.sizes()) : "nothing");
  const at::Tensor ids = codes.to(at::kCPU, at::kLong);
  if (ids.numel() == 0) return ids;
  const at::Tensor bad = at::logical_or(ids < 0, ids >= size).nonzero();
  if (bad.size(0) == 0) return ids;
  const auto row = bad[0][0].item<int64_t>(), step = bad[0][1].item<int64_t>();
  throw Error(c10::str("code ", ids[row][step].item<int64_t>(), " of codebook ", row, " at step ",
                       step, " is outside of the vocabulary, 0 to ", size - 1));
}

// ---- the streams of the SDK

namespace {

class Encoder final : public StreamEncoder {
 public:
  explicit Encoder(const std::shared_ptr<const Model>& model) : model_(model), encoding_(model) {}
  at::Tensor push(const RawData& piece) override {
    return run(checked_samples(*model_, piece), /*last=*/false);
  }
  at::Tensor finish() override {
    return run(at::empty({model_->shape().channels, 0}), /*last=*/true);
  }

 private:
  at::Tensor run(const at::Tensor& samples, bool last) {
    std::vector<at::Tensor> codes{at::empty({model_->quantizer().codebooks(), 0}, at::kLong)};
    encoding_.push(samples, last, codes);
    return at::cat(codes, 1);
  }

  std::shared_ptr<const Model> model_;
  Encoding encoding_;
};

class Decoder final : public StreamDecoder {
 public:
  Decoder(const std::shared_ptr<const Model>& model, float scale)
      : model_(model), decoding_(model, scale) {}
  at::Tensor push(const at::Tensor& codes) override {
    const at::Tensor checked = checked_codes(*model_, codes);
    if (rows_ == 0) rows_ = checked.size(0);
    GAMUT_CHECK(checked.size(0) == rows_, "the first piece had ", rows_,
                " codebooks, and this has ", checked.size(0));
    return run(checked, /*last=*/false);
  }
  at::Tensor finish() override {
    return run(at::empty({std::max<int64_t>(rows_, 1), 0}, at::kLong), /*last=*/true);
  }

 private:
  at::Tensor run(const at::Tensor& codes, bool last) {
    std::vector<at::Tensor> samples{at::empty({model_->shape().channels, 0})};
    decoding_.push(codes, last, samples);
    return at::cat(samples, 1);
  }

  std::shared_ptr<const Model> model_;
  Decoding decoding_;
  int64_t rows_ = 0;
};

}  // namespace

std::unique_ptr<StreamEncoder> make_stream_encoder(const std::shared_ptr<const Model>& model) {
  return std::make_unique<Encoder>(model);
}

std::unique_ptr<StreamDecoder> make_stream_decoder(const std::shared_ptr<const Model>& model,
                                                   float scale) {
  return std::make_unique<Decoder>(model, scale);
}

}  // namespace gamut::encodec
