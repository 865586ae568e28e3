#include "checks.h"

#include <ATen/ATen.h>

namespace gamut::dac {

using at::Tensor;

Tensor mono_samples(const RawData& data, int64_t sample_rate, int64_t before) {
  const auto* audio = std::get_if<Audio>(&data);
  GAMUT_CHECK(audio, "the tokenizer `dac` encodes audio, and was given text");
  const Tensor& samples = audio->samples;
  GAMUT_CHECK(audio->sample_rate == sample_rate, "this model encodes audio of ", sample_rate,
              " Hz and was given ", audio->sample_rate, " Hz; resample it first");
  GAMUT_CHECK(samples.dim() == 2 && at::isFloatingType(samples.scalar_type()),
              "audio must be floating-point samples [1, n], not ", samples.dtype(), " ",
              samples.sizes());
  GAMUT_CHECK(samples.size(0) == 1, "DAC encodes one channel and was given ", samples.size(0),
              "; mix them into one, or encode each by itself");
  const Tensor mono = samples[0].detach().to(at::kCPU, at::kFloat).contiguous();
  // A sum is finite unless an addend is not, or it overflows; only then each sample is looked at.
  if (mono.numel() > 0 && !std::isfinite(mono.sum().item<float>())) {
    const Tensor bad = at::isfinite(mono).logical_not();
    GAMUT_CHECK(!bad.any().item<bool>(), "sample ",
                before + bad.to(at::kInt).argmax().item<int64_t>(),
                " of the audio is not a finite number");
  }
  return mono;
}

Tensor checked_codes(const Tensor& codes, const Shape& shape, int64_t before) {
  GAMUT_CHECK(codes.dim() == 2 && at::isIntegralType(codes.scalar_type(), /*includeBool=*/false),
              "codes must be integers [codebooks, steps], not ", codes.dtype(), " ", codes.sizes());
  GAMUT_CHECK(codes.size(0) >= 1 && codes.size(0) <= shape.codebooks, "codes have ", codes.size(0),
              " rows; this model decodes 1 to ", shape.codebooks, " leading codebooks");
  const Tensor plain = codes.detach().to(at::kCPU, at::kLong).contiguous();
  if (plain.numel() == 0) return plain;
  const Tensor bad = plain.lt(0).logical_or(plain.ge(shape.codebook_size));
  if (bad.any().item<bool>()) {
    const int64_t at = bad.to(at::kInt).flatten().argmax().item<int64_t>();
    const int64_t row = at / plain.size(1), step = at % plain.size(1);
    throw Error(c10::str("code ", plain[row][step].item<int64_t>(), " of codebook ", row,
                         " at step ", before + step, " is outside of 0 to ",
                         shape.codebook_size - 1));
  }
  return plain;
}

}  // namespace gamut::dac
