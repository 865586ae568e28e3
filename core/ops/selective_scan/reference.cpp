// The scan by its definition: what tests compare with, and the way of other devices.
#include <ATen/ATen.h>
#include <gamut/documents.h>

#include "ops/rows.h"
#include "ops/selective_scan/selective_scan.h"

namespace gamut::ops {

using at::Tensor;

namespace {

// u, delta [rows, time, channels], h [rows, channels, states] -> sums over states [rows, time,
// channels], and the state after.
std::tuple<Tensor, Tensor> recurrence(const Tensor& u, const Tensor& delta, const Tensor& A,
                                      const Tensor& B, const Tensor& C, Tensor h) {
  std::vector<Tensor> reads;
  for (int64_t t = 0; t < u.size(1); ++t) {
    const auto d = delta.select(1, t).unsqueeze(-1);
    const auto in = d * B.select(1, t).unsqueeze(1) * u.select(1, t).unsqueeze(-1);
    h = at::exp(d * A) * h + in;
    reads.push_back((h * C.select(1, t).unsqueeze(1)).sum(-1));
  }
  return {at::stack(reads, 1), h};
}

}  // namespace

std::tuple<Tensor, Tensor> selective_scan_reference(
    const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
    const std::optional<Tensor>& D, const std::optional<Tensor>& z,
    const std::optional<Tensor>& delta_bias, bool delta_softplus,
    const std::optional<Tensor>& initial_state, const std::optional<Tensor>& cu_seqlens) {
  const Documents documents(or_undefined(cu_seqlens), u.size(0), u.size(1));
  const auto type = sum_type(u);
  const auto in = u.to(type), rates = A.to(type), b = B.to(type), c = C.to(type);
  auto d = delta_bias ? delta.to(type) + delta_bias->to(type) : delta.to(type);
  if (delta_softplus) d = at::softplus(d);
  const auto start =
      initial_state ? initial_state->to(type)
                    : at::zeros({documents.size(), A.size(0), A.size(1)}, u.options().dtype(type));
  Tensor y, last;
  if (documents.packed()) {
    std::vector<Tensor> reads, states;
    for (int64_t i = 0; i < documents.size(); ++i) {
      const auto steps = [&](const Tensor& x) {
        const int64_t length = documents.end(i) - documents.begin(i);
        return x.flatten(0, 1).narrow(0, documents.begin(i), length).unsqueeze(0);
      };
      const auto [read, state] =
          recurrence(steps(in), steps(d), rates, steps(b), steps(c), start.narrow(0, i, 1));
      reads.push_back(read);
      states.push_back(state);
    }
    y = at::cat(reads, 1).view(u.sizes());
    last = at::cat(states);
  } else {
    std::tie(y, last) = recurrence(in, d, rates, b, c, start);
  }
  if (D) y = y + D->to(type) * in;
  if (z) y = y * at::silu(z->to(type));
  return {y.to(u.scalar_type()), last};
}

}  // namespace gamut::ops
