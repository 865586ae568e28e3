// How other projects name and pack the weights of a Gated DeltaNet layer.
#pragma once

#include <gamut/weight_layouts.h>

#include <cstdint>
#include <vector>

namespace gamut::gdn {

struct HeadSizes {
  int64_t heads, value_heads, d_k, d_v;
};

// Every layout but the mixer's own, which is flash-linear-attention's.
std::vector<weights::Layout> foreign_layouts(const HeadSizes& sizes);

}  // namespace gamut::gdn
