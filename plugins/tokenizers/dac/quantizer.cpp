// Factorised, normalised codes as in section 3.2 of Kumar et al. 2023.
#include "quantizer.h"

#include <ATen/ATen.h>

namespace gamut::dac {

using at::Tensor;

namespace {

// Rows over max(norm, 1e-12), as torch.nn.functional.normalize.
Tensor unit_rows(const Tensor& rows) {
  return rows / rows.square().sum(1, /*keepdim=*/true).sqrt().clamp_min(1e-12);
}

}  // namespace

Quantizer::Quantizer(const Shape& shape, const Weights& weights, at::Device device)
    : device_(device) {
  for (int64_t i = 0; i < shape.codebooks; ++i) {
    const std::string name = c10::str("quantizer.quantizers.", i, ".");
    Book book;
    book.in = make_layer(weights, name + "in_proj", "", device);
    book.out = make_layer(weights, name + "out_proj", "", device);
    // A copy, see own() of layer.cpp.
    book.entries = weights.at(name + "codebook.weight").to(device, at::kFloat, false, true);
    const Tensor unit = unit_rows(book.entries);
    book.squares = unit.square().sum(1);
    const Weights products = {{"unit.weight", unit.unsqueeze(2)},
                              {"unit.bias", at::zeros_like(book.squares)}};
    book.search = make_layer(products, "unit", "", device);
    books_.push_back(std::move(book));
  }
}

Tensor Quantizer::encode(const Tensor& latents, int64_t codebooks, Tensor* projected) const {
  std::vector<Tensor> codes, seen;
  Tensor residual = latents;
  for (int64_t i = 0; i < codebooks; ++i) {
    const Book& book = books_[static_cast<size_t>(i)];
    const Tensor e = convolve(book.in, residual);
    if (projected) seen.push_back(e);
    // The squared length of e is the same for all entries.
    const Tensor distance = book.squares - convolve(book.search, unit_rows(e)).mul_(2);
    codes.push_back(distance.argmin(1));
    if (i + 1 < codebooks) {
      residual = residual - convolve(book.out, book.entries.index_select(0, codes.back()));
    }
  }
  if (projected) *projected = at::cat(seen, 1);
  return at::stack(codes).to(at::kCPU);
}

Tensor Quantizer::decode(const Tensor& codes) const {
  Tensor sum;
  for (int64_t i = 0; i < codes.size(0); ++i) {
    const Book& book = books_[static_cast<size_t>(i)];
    const Tensor entries = book.entries.index_select(0, codes[i].to(device_));
    sum = convolve(book.out, entries, i == 0 ? Tensor() : sum);
  }
  return sum;
}

}  // namespace gamut::dac
