#include "norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <array>
#include <cmath>
#include <vector>

namespace gamut::encodec {
namespace {

constexpr double kEpsilon = 1e-5;
constexpr int64_t kBlock = 1 << 14;  // elements that are summed in one go, whoever does it
constexpr int kLanes = 8;

struct Sums {
  double plain = 0, squares = 0;
};

Sums sums_of(const float* x, int64_t count) {
  std::array<double, kLanes> plain{}, squares{};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      plain[lane] += value;
      squares[lane] += value * value;
    }
  }
  Sums sums;
  for (; i < count; ++i) {
    const double value = x[i];
    sums.plain += value;
    sums.squares += value * value;
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    sums.plain += plain[lane];
    sums.squares += squares[lane];
  }
  return sums;
}

Sums sums_of(const at::Tensor& x) {
  const auto* data = x.const_data_ptr<float>();
  const int64_t count = x.numel(), blocks = (count + kBlock - 1) / kBlock;
  std::vector<Sums> parts(blocks);
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      parts[i] = sums_of(data + i * kBlock, std::min(kBlock, count - i * kBlock));
    }
  });
  Sums sums;
  for (const Sums& part : parts) {
    sums.plain += part.plain;
    sums.squares += part.squares;
  }
  return sums;
}

// y <- y scale + shift (+ add), by channel.
void scale_and_shift(const at::Tensor& y, const at::Tensor& scale, const at::Tensor& shift,
                     const at::Tensor& add) {
  const int64_t channels = y.size(1);
  auto* out = y.data_ptr<float>();
  const auto* by = scale.const_data_ptr<float>();
  const auto* plus = shift.const_data_ptr<float>();
  const float* more = add.defined() ? add.const_data_ptr<float>() : nullptr;
  at::parallel_for(0, y.size(0), 1 + kBlock / channels, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* row = out + t * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) row[c] = row[c] * by[c] + plus[c];
      if (!more) continue;
      const float* other = more + t * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) row[c] += other[c];
    }
  });
}

}  // namespace

at::Tensor normalize(const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                     const at::Tensor& add) {
  if (!y.is_cpu()) {
    const at::Tensor normed =
        at::group_norm(y.t().unsqueeze(0), 1, weight, bias, kEpsilon).squeeze(0).t();
    return add.defined() ? normed + add : normed;
  }
  at::Tensor out = y.contiguous();
  if (out.numel() == 0) return out;
  const Sums sums = sums_of(out);
  const auto count = static_cast<double>(out.numel());
  const double mean = sums.plain / count;
  const double variance = std::max(0.0, sums.squares / count - mean * mean);
  const at::Tensor scale = weight * (1 / std::sqrt(variance + kEpsilon));
  const at::Tensor shift = bias - scale * mean;
  scale_and_shift(out, scale, shift, add.defined() ? add.contiguous() : add);
  return out;
}

}  // namespace gamut::encodec
