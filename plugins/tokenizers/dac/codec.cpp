#include "codec.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <vector>

namespace gamut::dac {

using at::Tensor;

namespace {

// On the CPU a block's widest activations stay near the cache; a GPU wants more work a call.
constexpr int64_t kCpuFrames = 32, kGpuFrames = 512;

// What the calls of push and finish gave, side by side.
Tensor joined(const std::vector<Tensor>& pieces, int64_t dim, const Tensor& none) {
  if (pieces.empty()) return none;
  return pieces.size() == 1 ? pieces[0] : at::cat(pieces, dim);
}

}  // namespace

Codec::Codec(const Shape& sizes, const Weights& weights, at::Device where)
    : shape(sizes),
      device(where),
      encoder(make_encoder(sizes, weights, where)),
      decoder(make_decoder(sizes, weights, where)),
      quantizer(sizes, weights, where),
      block_frames(where.is_cpu() ? kCpuFrames : kGpuFrames) {}

int64_t Blocks::store(const Tensor& x) {
  if (!buffer_.defined()) buffer_ = at::empty({rows_, x.size(1)}, x.options());
  const int64_t taken = std::min(rows_ - filled_, x.size(0));
  buffer_.slice(0, filled_, filled_ + taken).copy_(x.slice(0, 0, taken));
  filled_ += taken;
  return taken;
}

Tensor Blocks::rest(const Tensor& like) const {
  return filled_ > 0 ? buffer_.slice(0, 0, filled_) : like;
}

BlockEncoder::BlockEncoder(const Codec& codec, int64_t codebooks)
    : codec_(codec),
      codebooks_(codebooks),
      blocks_(codec.block_frames * codec.shape.hop_length()),
      pass_(codec.encoder) {}

Tensor BlockEncoder::codes_of(const Tensor& samples, bool last) {
  const c10::NoGradGuard no_grad;
  const Tensor latents = pass_.push(samples.to(codec_.device), last);
  if (latents.size(0) == 0) return at::empty({codebooks_, 0}, at::kLong);
  return codec_.quantizer.encode(latents, codebooks_);
}

Tensor BlockEncoder::push(const Tensor& samples) {
  std::vector<Tensor> codes;
  blocks_.feed(samples.unsqueeze(1),
               [&](const Tensor& block) { codes.push_back(codes_of(block, false)); });
  return joined(codes, 1, at::empty({codebooks_, 0}, at::kLong));
}

Tensor BlockEncoder::finish() {
  const Tensor rest = blocks_.rest(at::empty({0, 1}));
  const int64_t hop = codec_.shape.hop_length(), over = rest.size(0) % hop;
  return codes_of(over == 0 ? rest : at::cat({rest, at::zeros({hop - over, 1})}), true);
}

BlockDecoder::BlockDecoder(const Codec& codec, bool padded)
    : codec_(codec), blocks_(codec.block_frames), pass_(codec.decoder, padded) {}

Tensor BlockDecoder::samples_of(const Tensor& rows, bool last) {
  const c10::NoGradGuard no_grad;
  const Tensor latents = rows.size(0) == 0 ? at::zeros({0, codec_.shape.latent_dim}, codec_.device)
                                           : codec_.quantizer.decode(rows.t());
  return pass_.push(latents, last).to(at::kCPU).view({-1});
}

Tensor BlockDecoder::push(const Tensor& codes) {
  std::vector<Tensor> samples;
  push(codes, [&](const Tensor& piece) { samples.push_back(piece); });
  return joined(samples, 0, at::empty({0}));
}

Tensor BlockDecoder::finish() {
  return samples_of(blocks_.rest(at::empty({0, rows_}, at::kLong)), true);
}

Tensor encode(const Codec& codec, const Tensor& samples, int64_t codebooks) {
  if (samples.size(0) == 0) return at::empty({codebooks, 0}, at::kLong);
  BlockEncoder encoder(codec, codebooks);
  const Tensor codes = encoder.push(samples);
  return at::cat({codes, encoder.finish()}, 1);
}

Tensor decode(const Codec& codec, const Tensor& codes, bool padded) {
  BlockDecoder decoder(codec, padded);
  // Samples are put where they belong as they are made: an hour of them is 600 MB.
  Tensor samples = at::empty({padded ? codec.shape.samples(codes.size(1)) : 0});
  std::vector<Tensor> pieces;
  int64_t filled = 0;
  const auto put = [&](const Tensor& piece) {
    if (!padded) {
      pieces.push_back(piece);
      return;
    }
    samples.slice(0, filled, filled + piece.size(0)).copy_(piece);
    filled += piece.size(0);
  };
  if (codes.size(1) == 0) return samples;
  decoder.push(codes, put);
  put(decoder.finish());
  return padded ? samples : at::cat(pieces);
}

}  // namespace gamut::dac
