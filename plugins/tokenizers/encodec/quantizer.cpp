#include "quantizer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <utility>

namespace gamut::encodec {
namespace {

Filter distances_to(const at::Tensor& codebook, Form form) {
  const at::Tensor squares = codebook.to(at::kDouble).pow(2).sum(1).to(at::kFloat);
  return Filter({codebook.mul(-2).unsqueeze(2), squares, {}, {}}, 1, 1, /*elu=*/false, form);
}

constexpr int64_t kStepsATask = 16;

// Index of the first smallest of `size` values; 0 where one is NaN.
int64_t first_minimum(const float* values, int64_t size) {
  float smallest = values[0];
#pragma omp simd reduction(min : smallest)
  for (int64_t i = 0; i < size; ++i) smallest = std::min(smallest, values[i]);
  for (int64_t i = 0; i < size; ++i) {
    if (values[i] == smallest) return i;
  }
  return 0;
}

}  // namespace

Quantizer::Quantizer(std::vector<at::Tensor> codebooks, Form form)
    : codebooks_(std::move(codebooks)), form_(form) {
  for (const auto& codebook : codebooks_) distances_.push_back(distances_to(codebook, form));
}

// By LibTorch's operators, which take the first of equal ones too.
void Quantizer::take_nearest_plain(int64_t stage, at::Tensor& left, const at::Tensor& codes) const {
  const at::Tensor nearest = at::argmin(distances_[stage](left), 1);
  codes[stage].copy_(nearest);
  left.sub_(codebooks_[stage].index_select(0, nearest));
}

void Quantizer::take_nearest(int64_t stage, at::Tensor& left, const at::Tensor& codes) const {
  const at::Tensor distances = distances_[stage](left);
  const int64_t size = codebooks_[stage].size(0), width = left.size(1);
  const auto* distance = distances.const_data_ptr<float>();
  const auto* rows = codebooks_[stage].const_data_ptr<float>();
  auto* rest = left.data_ptr<float>();
  auto* code = codes.data_ptr<int64_t>() + stage * codes.size(1);
  at::parallel_for(0, left.size(0), kStepsATask, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      code[t] = first_minimum(distance + t * size, size);
      const float* row = rows + code[t] * width;
      for (int64_t i = 0; i < width; ++i) rest[t * width + i] -= row[i];
    }
  });
}

at::Tensor Quantizer::encode(const at::Tensor& latents) const {
  const at::Tensor codes =
      at::empty({codebooks(), latents.size(0)}, latents.options().dtype(at::kLong));
  at::Tensor left = latents.clone(at::MemoryFormat::Contiguous);
  for (int64_t stage = 0; stage < codebooks(); ++stage) {
    form_ == Form::fused ? take_nearest(stage, left, codes)
                         : take_nearest_plain(stage, left, codes);
  }
  return codes;
}

at::Tensor Quantizer::decode(const at::Tensor& codes) const {
  at::Tensor sum = codebooks_[0].index_select(0, codes[0]);
  for (int64_t stage = 1; stage < codes.size(0); ++stage) {
    sum += codebooks_[stage].index_select(0, codes[stage]);
  }
  return sum;
}

}  // namespace gamut::encodec
