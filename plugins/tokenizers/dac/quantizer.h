// The residual vector quantizer: latents to codes and back.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "layer.h"
#include "shape.h"

namespace gamut::dac {

class Quantizer {
 public:
  Quantizer(const Shape& shape, const Weights& weights, at::Device device);

  // latents [frames, latent_dim] -> int64 [codebooks, frames] of the first `codebooks` books. Each
  // takes the entry of the largest cosine with the projected residual, the first one of equals.
  // `projected`, if given, receives what the books looked up, [frames, codebooks * codebook_dim].
  at::Tensor encode(const at::Tensor& latents, int64_t codebooks,
                    at::Tensor* projected = nullptr) const;

  // int64 [codebooks, frames], every code below codebook_size -> [frames, latent_dim].
  at::Tensor decode(const at::Tensor& codes) const;

 private:
  struct Book {
    Layer in, out;
    Layer search;        // to the scalar products with all entries, which have unit length
    at::Tensor entries;  // [codebook_size, codebook_dim]
    at::Tensor squares;  // [codebook_size] of the unit entries
  };
  std::vector<Book> books_;
  at::Device device_;
};

}  // namespace gamut::dac
