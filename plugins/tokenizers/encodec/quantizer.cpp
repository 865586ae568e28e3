#include "quantizer.h"

#include <ATen/ATen.h>

#include <utility>

namespace gamut::encodec {
namespace {

Filter distances_to(const at::Tensor& codebook, Form form) {
  const at::Tensor squares = codebook.to(at::kDouble).pow(2).sum(1).to(at::kFloat);
  return Filter({codebook.mul(-2).unsqueeze(2), squares, {}, {}}, 1, 1, /*elu=*/false, form);
}

}  // namespace

Quantizer::Quantizer(std::vector<at::Tensor> codebooks, Form form)
    : codebooks_(std::move(codebooks)) {
  for (const auto& codebook : codebooks_) distances_.push_back(distances_to(codebook, form));
}

at::Tensor Quantizer::encode(const at::Tensor& latents) const {
  at::Tensor codes = at::empty({codebooks(), latents.size(0)}, latents.options().dtype(at::kLong));
  at::Tensor left = latents.contiguous();
  for (int64_t stage = 0; stage < codebooks(); ++stage) {
    const at::Tensor nearest = at::argmin(distances_[stage](left), 1);
    codes[stage].copy_(nearest);
    left = left - codebooks_[stage].index_select(0, nearest);
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
