// audiotools 0.7 (core/loudness.py) with the filters of pyloudnorm's class "K-weighting".
#include "loudness.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace gamut::dac {
namespace {

constexpr double kFloor = -70;  // LUFS, the absolute gate and the least result
constexpr double kBlock = 0.4;  // seconds, three quarters of it shared with the next block
constexpr double kPi = 3.14159265358979323846;

// A filter of second order, direct form II transposed.
class Biquad {
 public:
  Biquad(std::array<double, 3> b, std::array<double, 3> a) : b_(b), a_(a) {
    for (auto& c : b_) c /= a[0];
    for (auto& c : a_) c /= a[0];
  }
  double next(double x) {
    const double y = b_[0] * x + first_;
    first_ = b_[1] * x - a_[1] * y + second_;
    second_ = b_[2] * x - a_[2] * y;
    return y;
  }

 private:
  std::array<double, 3> b_, a_;
  double first_ = 0, second_ = 0;
};

// Robert Bristow-Johnson's cookbook: 4 dB above 1500 Hz, Q = 1/sqrt(2).
Biquad high_shelf(double rate) {
  const double gain = std::pow(10.0, 4.0 / 40), w = 2 * kPi * 1500 / rate, cosine = std::cos(w);
  const double slope = 2 * std::sqrt(gain) * std::sin(w) / (2 / std::sqrt(2.0));
  const double up = gain + 1, down = gain - 1;
  return {{gain * (up + down * cosine + slope), -2 * gain * (down + up * cosine),
           gain * (up + down * cosine - slope)},
          {up - down * cosine + slope, 2 * (down - up * cosine), up - down * cosine - slope}};
}

// 38 Hz, Q = 1/2.
Biquad high_pass(double rate) {
  const double w = 2 * kPi * 38 / rate, cosine = std::cos(w), alpha = std::sin(w);
  return {{(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2}, {1 + alpha, -2 * cosine, 1 - alpha}};
}

// Mean squares of the weighted signal over blocks, those beyond its end counting as zeros.
std::vector<double> block_powers(const float* samples, int64_t count, int64_t length,
                                 int64_t sample_rate) {
  const auto rate = static_cast<double>(sample_rate);
  const auto block = static_cast<int64_t>(kBlock * rate);
  const auto step = std::max<int64_t>(1, static_cast<int64_t>(kBlock * rate * 0.25));
  const int64_t blocks = (std::max(length, block) - block + step - 1) / step + 1;
  // The sum of squares before the first sample of each block, then up to its last one.
  std::vector<double> before, through;
  Biquad shelf = high_shelf(rate), pass = high_pass(rate);
  double sum = 0;
  for (int64_t i = 0; i < length; ++i) {
    if (i == static_cast<int64_t>(before.size()) * step) before.push_back(sum);
    if (i == static_cast<int64_t>(through.size()) * step + block) through.push_back(sum);
    const double y = pass.next(shelf.next(i < count ? samples[i] : 0.0));
    sum += y * y;
  }
  before.resize(static_cast<size_t>(blocks), sum);
  through.resize(static_cast<size_t>(blocks), sum);
  std::vector<double> powers;
  for (size_t b = 0; b < before.size(); ++b) {
    powers.push_back((through[b] - before[b]) / (kBlock * rate));
  }
  return powers;
}

double lufs(double power) {
  return -0.691 + 10 * std::log10(power);
}

// Mean over the blocks that are louder than `gate`, of all channels added up; 0 of none.
double gated_power(const std::vector<double>& powers, double gate) {
  double sum = 0;
  int64_t count = 0;
  for (const double power : powers) {
    if (lufs(power) <= kFloor || lufs(power) <= gate) continue;
    sum += power;
    ++count;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

}  // namespace

double loudness(const std::vector<const float*>& channels, int64_t samples, int64_t sample_rate) {
  const auto half = static_cast<double>(sample_rate) / 2;
  int64_t length = samples;
  if (static_cast<double>(samples) < half) {
    const double missing = 0.5 - static_cast<double>(samples) / static_cast<double>(sample_rate);
    length += static_cast<int64_t>(missing * static_cast<double>(sample_rate));
  }
  std::vector<double> powers;
  for (const float* channel : channels) {
    const auto own = block_powers(channel, samples, length, sample_rate);
    powers.resize(own.size());
    for (size_t i = 0; i < own.size(); ++i) powers[i] += own[i];
  }
  const double relative = lufs(gated_power(powers, kFloor)) - 10;
  return std::max(kFloor, lufs(gated_power(powers, relative)));
}

}  // namespace gamut::dac
