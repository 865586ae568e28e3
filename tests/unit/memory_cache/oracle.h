// Memory Caching token by token, straight from the equations, for one document; slow on purpose.
#pragma once

#include "support.h"

namespace gamut::test {

struct Variant {
  std::string aggregation = "gated_residual";
  std::string segments = "constant";
  std::string carry_over = "checkpoint";
  std::string score = "learned";
  int64_t segment_size = 5;
  int64_t top_k = 2;
  int64_t max_segments = 0;

  OptionMap options() const;
  std::string name() const;
};

inline void PrintTo(const Variant& variant, std::ostream* out) {
  *out << variant.name();
}

// y [1, time, width] of x [1, time, width]; `mixer` is a memory_cache around `inner`, whose
// parameters it shares by value: both were made from the same seed.
Tensor oracle(const Variant& variant, Mixer& mixer, Mixer& inner, const Tensor& x);

// All aggregations, segments and carry-overs.
std::vector<Variant> variants();

}  // namespace gamut::test
