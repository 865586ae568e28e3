#include "encodec.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

namespace gamut::encodec {
namespace {

constexpr double kDefaultKbps = 6;
// Steps of a long sequence that are decoded before their samples are put in place.
constexpr int64_t kPiece = 16 * kBlockFrames;

int64_t chosen_codebooks(const Shape& shape, const Options& options) {
  if (options.has("bandwidth")) return codebooks_at(shape, options.number("bandwidth"));
  const double each = static_cast<double>(shape.frame_rate() * shape.bits()) / 1000;
  return std::clamp(static_cast<int64_t>(kDefaultKbps / each), int64_t{1}, shape.codebooks);
}

Weights chosen_weights(const Shape& shape, const Options& options) {
  const std::string& path = options.string("weights");
  if (path == "random") {
    return random_weights(shape, static_cast<uint64_t>(options.integer("seed")));
  }
  return weights_of_file(shape, read_weights(path).tensors, path);
}

std::shared_ptr<const Model> make_model(const Options& options) {
  const at::NoGradGuard no_grad;
  const Shape shape = shape_of_options(options);
  const at::Device device(options.string("device"));
  GAMUT_CHECK(!device.is_cuda() || at::hasCUDA(),
              "option `device` is cuda, and this machine has none that LibTorch can use");
  return std::make_shared<Model>(shape, chosen_codebooks(shape, options),
                                 chosen_weights(shape, options), device,
                                 device.is_cpu() ? Form::fused : Form::plain);
}

std::map<std::string, std::string> identity_of(const Shape& shape, const Options& options) {
  const std::string& path = options.string("weights");
  std::map<std::string, std::string> identity{{"shape", shape.text()}};
  if (path == "random") {
    identity["weights"] = c10::str("random, seed ", options.integer("seed"));
  } else {
    identity["weights_sha256"] = file_sha256(path);
  }
  return identity;
}

// [codebooks, frames] <-> frame by frame.
std::vector<uint16_t> frame_major(const at::Tensor& codes) {
  const at::Tensor flat = codes.t().contiguous();
  const auto* first = flat.data_ptr<int64_t>();
  return {first, first + flat.numel()};
}

at::Tensor codebook_major(const EcdcSegment& segment, int64_t codebooks) {
  const at::Tensor flat = at::empty({segment.frames, codebooks}, at::kLong);
  std::copy(segment.codes.begin(), segment.codes.end(), flat.data_ptr<int64_t>());
  return flat.t().contiguous();
}

// The model whose .ecdc files hold this one's codes, or null.
const EcdcModel* model_of_files(const Shape& shape) {
  const EcdcModel* model = find_ecdc_model(shape.name);
  const bool same = model && shape.codebook_size == 1024 &&
                    shape.hop_length() == model->hop_length && shape.segment == model->segment &&
                    shape.segment_stride == model->segment_stride &&
                    shape.normalize == model->has_scales;
  return same ? model : nullptr;
}

}  // namespace

Encodec::Encodec(const Options& options, Host& /*host*/)
    : model_(make_model(options)),
      file_model_(model_of_files(model_->shape())),
      identity_(identity_of(model_->shape(), options)),
      scale_(static_cast<float>(options.number("scale"))) {}

TokenizerInfo Encodec::info() const {
  TokenizerInfo info;
  info.vocab_size = shape().codebook_size;
  info.codebooks = model_->quantizer().codebooks();
  info.is_audio = true;
  info.sample_rate = shape().sample_rate;
  info.frame_rate = static_cast<double>(shape().sample_rate) / static_cast<double>(hop_length());
  return info;
}

at::Tensor Encodec::encode(const RawData& data) {
  std::vector<at::Tensor> codes{at::empty({model_->quantizer().codebooks(), 0}, at::kLong)};
  Encoding(model_).push(checked_samples(*model_, data), /*last=*/true, codes);
  return at::cat(codes, 1);
}

RawData Encodec::decode(const at::Tensor& codes) {
  const at::Tensor ids = checked_codes(*model_, codes);
  at::Tensor samples = at::empty({channels(), this->samples(ids.size(1))});
  Decoding decoding(model_, scale_);
  int64_t at = 0;
  for (int64_t from = 0; from < ids.size(1); from += kPiece) {
    std::vector<at::Tensor> pieces;
    decoding.push(ids.slice(1, from, from + kPiece), from + kPiece >= ids.size(1), pieces);
    for (const auto& piece : pieces) {
      samples.slice(1, at, at + piece.size(1)).copy_(piece);
      at += piece.size(1);
    }
  }
  return Audio{samples, shape().sample_rate};
}

std::unique_ptr<StreamEncoder> Encodec::new_encoder() {
  return make_stream_encoder(model_);
}
std::unique_ptr<StreamDecoder> Encodec::new_decoder() {
  return make_stream_decoder(model_, scale_);
}

at::Tensor Encodec::byte_counts(const at::Tensor& /*previous*/, const at::Tensor& /*target*/) {
  return {};
}

void* Encodec::query(std::string_view id) {
  if (id == AudioCodec::kId) return static_cast<AudioCodec*>(this);
  if (id == CodeFiles::kId && file_model_) return static_cast<CodeFiles*>(this);
  if (id == Identity::kId) return static_cast<Identity*>(this);
  return nullptr;
}

int64_t Encodec::steps(int64_t samples) const {
  if (shape().segment > 0) return Segments(shape()).steps(samples);
  return (samples + hop_length() - 1) / hop_length();
}

int64_t Encodec::samples(int64_t steps) const {
  if (shape().segment == 0) return steps * hop_length();
  const Segments segments(shape());
  return segments.joined(segments.layout(steps));
}

// ---- .ecdc

CodeFile Encodec::parse(std::string_view bytes) const {
  const EcdcFile file = parse_ecdc(bytes);
  std::vector<at::Tensor> codes{at::empty({file.codebooks, 0}, at::kLong)};
  std::string scales;
  for (const auto& segment : file.segments) {
    codes.push_back(codebook_major(segment, file.codebooks));
    scales += (scales.empty() ? "" : " ") + std::to_string(segment.scale);
  }
  CodeFile parsed;
  parsed.codes = at::cat(codes, 1);
  parsed.sample_rate = file.model->sample_rate;
  parsed.samples = file.samples;
  parsed.channels = file.model->channels;
  parsed.facts["model"] = file.model->name;
  if (file.model->has_scales) parsed.facts["scales"] = scales;
  return parsed;
}

Audio Encodec::decode_file(std::string_view bytes) {
  const at::NoGradGuard no_grad;
  const EcdcFile file = parse_ecdc(bytes);
  GAMUT_CHECK(file.model == file_model_, "the .ecdc file was made by ", file.model->name,
              ", and these are weights of ", file_model_->name);
  GAMUT_CHECK(file.codebooks <= model_->quantizer().codebooks(), "the .ecdc file has ",
              file.codebooks, " codebooks, and this tokenizer's bandwidth ",
              model_->quantizer().codebooks(), "; give it a larger `bandwidth`");
  const int64_t rate = shape().sample_rate;
  if (file.segments.empty()) return Audio{at::empty({channels(), 0}), rate};
  if (!file.model->has_scales) {
    const at::Tensor codes = codebook_major(file.segments.front(), file.codebooks);
    return Audio{std::get<Audio>(decode(codes)).samples.slice(1, 0, file.samples), rate};
  }
  Joiner joiner(shape().segment_stride);
  std::vector<at::Tensor> samples;
  for (const auto& segment : file.segments) {
    samples.push_back(joiner.push(
        decode_segment(*model_, {codebook_major(segment, file.codebooks), segment.scale})));
  }
  samples.push_back(joiner.finish());
  return Audio{at::cat(samples, 1).slice(1, 0, file.samples), rate};
}

std::vector<CodedSegment> Encodec::encode_segments(const at::Tensor& samples) const {
  std::vector<CodedSegment> coded;
  int64_t from = 0;
  for (int64_t length : Segments(shape()).lengths(samples.size(1))) {
    coded.push_back(encode_segment(*model_, samples.slice(1, from, from + length), from));
    from += shape().segment_stride;
  }
  return coded;
}

std::string Encodec::encode_file(const Audio& audio) {
  const at::NoGradGuard no_grad;
  EcdcFile file;
  file.model = file_model_;
  const at::Tensor samples = checked_samples(*model_, audio);
  file.samples = samples.size(1);
  file.codebooks = model_->quantizer().codebooks();
  std::vector<CodedSegment> coded;
  if (file.model->has_scales) {
    coded = encode_segments(samples);
  } else if (file.samples > 0) {
    coded.push_back({encode(audio), 1});
  }
  for (const auto& [codes, scale] : coded) {
    file.segments.push_back({scale, codes.size(1), frame_major(codes)});
  }
  return write_ecdc(file);
}

}  // namespace gamut::encodec

GAMUT_TOKENIZER(gamut::encodec::Encodec, "encodec", "1.0.0",
                "EnCodec: audio at 24 kHz mono or 48 kHz stereo, residual codebooks of 1024")
