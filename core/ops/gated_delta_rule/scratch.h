// How the kernels' scratch memory is divided. The host counts with it, the kernels compute in it;
// all has internal linkage because it is compiled for several instruction sets.
#pragma once

#include "ops/gated_delta_rule/kernel.h"

namespace gamut::ops {
namespace {

constexpr int64_t delta_rule_padded(int64_t n) {
  return (n + kDeltaRulePad - 1) / kDeltaRulePad * kDeltaRulePad;
}

// Hands out pieces of a buffer; from a null buffer it only counts.
template <class T>
class Pieces {
 public:
  explicit Pieces(T* buffer) : buffer_(buffer) {}
  T* take(int64_t n) {
    T* piece = buffer_ ? buffer_ + used_ : nullptr;
    used_ += delta_rule_padded(n);
    return piece;
  }
  template <class... P>
  void take_each(int64_t n, P&... pieces) {
    ((pieces = take(n)), ...);
  }
  int64_t used() const { return used_; }

 private:
  T* buffer_;
  int64_t used_ = 0;
};

// One chunk: c rows, padded widths dk and dv. Rows beyond the steps at hand are zero.
template <class T>
struct ChunkScratch {
  int64_t c, dk, dv;
  T *gate, *gate_low;  // [c] running sum of g, in two parts: gate + gate_low
  T *decayed, *left;   // [c] exp of it, from the chunk's start and to the chunk's end
  T *beta, *factor;    // [c]
  T* keys_transposed;  // [dk, c]
  T *kk, *qk;          // [c, c] K K^T and Q K^T
  T *a, *p;            // [c, c] A and scale * P
  T* errors;           // [c, dv] V'

  ChunkScratch(Pieces<T>& pieces, const DeltaRuleSizes& s, int64_t columns)
      : c(s.chunk), dk(delta_rule_padded(s.d_k)), dv(delta_rule_padded(columns)) {
    pieces.take_each(c, gate, gate_low, decayed, left, beta, factor);
    keys_transposed = pieces.take(dk * c);
    pieces.take_each(c * c, kk, qk, a, p);
    errors = pieces.take(c * dv);
  }
};

template <class T>
struct ForwardScratch : ChunkScratch<T> {
  T *q, *k;   // [c, dk]
  T* output;  // [c, dv]
  T* state;   // [d_k, dv]

  ForwardScratch(Pieces<T>& pieces, const DeltaRuleSizes& s, int64_t columns)
      : ChunkScratch<T>(pieces, s, columns) {
    q = pieces.take(this->c * this->dk);
    k = pieces.take(this->c * this->dk);
    output = pieces.take(this->c * this->dv);
    state = pieces.take(s.d_k * this->dv);
  }
};

template <class T>
struct StepScratch {
  T *q, *k;       // [padded d_k]
  T *v, *output;  // [padded d_v]
  T* state;       // [d_k, one vector]

  StepScratch(Pieces<T>& pieces, const DeltaRuleSizes& s) {
    pieces.take_each(s.d_k, q, k);
    pieces.take_each(s.d_v, v, output);
    state = pieces.take(s.d_k * kDeltaRulePad);
  }
};

template <class T>
struct BackwardScratch : ChunkScratch<T> {
  T* x;                                         // [2c, dk] Q above K
  T* v;                                         // [c, dv]
  T* y;                                         // [2c, dv] dO above Z
  T* gam;                                       // [c, c]
  T *d_p, *d_x, *w;                             // [c, c]
  T* errors_transposed;                         // [dv, c]
  T *s_transposed, *d_s_transposed;             // [dv, dk]
  T* d_xs;                                      // [2c, dk] dQ above what beta multiplies in dK
  T* d_keys;                                    // [c, dk] the rest of dK
  T *d_q, *d_k;                                 // [c, dk] sums over value heads
  T *d_gate, *through, *written, *column_sums;  // [c] parts of dg
  T* d_state;                                   // [value heads that share a key head, d_k, dv]

  BackwardScratch(Pieces<T>& pieces, const DeltaRuleSizes& s, int64_t columns)
      : ChunkScratch<T>(pieces, s, columns) {
    const int64_t c = this->c, dk = this->dk, dv = this->dv;
    x = pieces.take(2 * c * dk);
    v = pieces.take(c * dv);
    y = pieces.take(2 * c * dv);
    pieces.take_each(c * c, gam, d_p, d_x, w);
    errors_transposed = pieces.take(dv * c);
    s_transposed = pieces.take(dv * dk);
    d_s_transposed = pieces.take(dv * dk);
    d_xs = pieces.take(2 * c * dk);
    pieces.take_each(c * dk, d_keys, d_q, d_k);
    pieces.take_each(c, d_gate, through, written, column_sums);
    d_state = pieces.take(s.value_heads / s.heads * s.d_k * dv);
  }
};

}  // namespace
}  // namespace gamut::ops
