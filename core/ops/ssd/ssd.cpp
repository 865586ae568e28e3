// gamut::ssd: checks, autograd, and the division of documents and heads among threads.
#include "ops/ssd/ssd.h"

#include <ATen/ATen.h>
#include <gamut/documents.h>

#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;

namespace {

void check_shapes(const Tensor& x, const Tensor& dt, const Tensor& A, const Tensor& B,
                  const Tensor& C) {
  GAMUT_CHECK(x.dim() == 4 && x.numel() > 0,
              "ssd: x must be [batch, time, heads, head_dim], none of them 0, not ", x.sizes());
  GAMUT_CHECK(has_element(x.scalar_type()), "ssd: x must be float32, bfloat16 or float64, not ",
              x.scalar_type());
  const int64_t heads = x.size(2);
  GAMUT_CHECK(dt.sizes() == x.sizes().slice(0, 3),
              "ssd: dt must be [batch, time, heads] = ", x.sizes().slice(0, 3), " as x; it is ",
              dt.sizes());
  GAMUT_CHECK(A.dim() == 1 && A.size(0) == heads, "ssd: A must be [", heads,
              "], one for each head; it is ", A.sizes());
  GAMUT_CHECK(B.dim() == 4 && B.numel() > 0 && B.sizes().slice(0, 2) == x.sizes().slice(0, 2),
              "ssd: B must be [batch, time, groups, d_state] with the batch and time of x, ",
              x.sizes().slice(0, 2), "; it is ", B.sizes());
  GAMUT_CHECK(C.sizes() == B.sizes(), "ssd: C must be ", B.sizes(), " as B; it is ", C.sizes());
  GAMUT_CHECK(heads % B.size(2) == 0, "ssd: the groups of B and C, ", B.size(2),
              ", must divide the heads of x, ", heads);
}

void check_per_head(const char* name, const std::optional<Tensor>& t, int64_t heads) {
  GAMUT_CHECK(!t || (t->dim() == 1 && t->size(0) == heads), "ssd: ", name, " must be [", heads,
              "], one for each head; it is ", t ? t->sizes() : at::IntArrayRef());
}

}  // namespace

std::tuple<Tensor, Tensor> ssd(const Tensor& x, const Tensor& dt, const Tensor& A, const Tensor& B,
                               const Tensor& C, const std::optional<Tensor>& D,
                               const std::optional<Tensor>& dt_bias, bool dt_softplus,
                               const std::optional<Tensor>& initial_state,
                               const std::optional<Tensor>& cu_seqlens, int64_t chunk_size) {
  check_shapes(x, dt, A, B, C);
  check_per_head("D", D, x.size(2));
  check_per_head("dt_bias", dt_bias, x.size(2));
  return ssd_composed(x, dt, A, B, C, D, dt_bias, dt_softplus, initial_state, cu_seqlens,
                      chunk_size);
}

}  // namespace gamut::ops
