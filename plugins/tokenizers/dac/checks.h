// What comes in from outside, checked and brought into one form.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/tokenizer.h>

#include <cstdint>

#include "shape.h"

namespace gamut::dac {

// float32 [n] on the CPU of audio [1, n] at `sample_rate`. `before`: samples that came earlier, for
// messages. Throws gamut::Error for text, other rates, several channels and samples that are not
// finite.
at::Tensor mono_samples(const RawData& data, int64_t sample_rate, int64_t before);

// int64 [rows, steps] on the CPU, with 1 to all codebooks as rows and every code in range.
at::Tensor checked_codes(const at::Tensor& codes, const Shape& shape, int64_t before);

}  // namespace gamut::dac
