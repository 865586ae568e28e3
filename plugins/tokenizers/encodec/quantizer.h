// The residual vector quantizer: each stage codes what the stages before left over.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "layers.h"

namespace gamut::encodec {

class Quantizer {
 public:
  // codebooks: [size, dimension] each, first stage first.
  Quantizer(std::vector<at::Tensor> codebooks, Form form);

  // Latents [steps, dimension] -> int64 [codebooks, steps]: the row nearest to what is left, the
  // first one of equally near rows; its row is taken off. A step's codes depend on that step alone.
  at::Tensor encode(const at::Tensor& latents) const;

  // int64 [1..codebooks, steps] -> [steps, dimension], the sum of rows.
  at::Tensor decode(const at::Tensor& codes) const;

  int64_t codebooks() const { return static_cast<int64_t>(codebooks_.size()); }

 private:
  // One stage: codes[stage] of all steps, whose rows are taken off `left`.
  void take_nearest(int64_t stage, at::Tensor& left, const at::Tensor& codes) const;
  void take_nearest_plain(int64_t stage, at::Tensor& left, const at::Tensor& codes) const;

  std::vector<at::Tensor> codebooks_;
  Form form_;
  // [1, dimension] -> [1, size]: |c|^2 - 2 r c, the squared distance less |r|^2.
  std::vector<Filter> distances_;
};

}  // namespace gamut::encodec
