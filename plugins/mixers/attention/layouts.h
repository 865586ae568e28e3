// How other projects name and pack the weights of an attention layer, and which channels they turn.
#pragma once

#include <gamut/weight_layouts.h>

#include <cstdint>
#include <vector>

#include "rope.h"

namespace gamut::attention {

struct HeadSizes {
  int64_t heads, kv_heads, head_dim;
  Rope rope;          // this layer's, to which rows are brought
  bool equal_inputs;  // whether queries and keys have as many input channels
};

// Every layout but the mixer's own, which is that of transformers' Llama and Qwen.
std::vector<weights::Layout> foreign_layouts(const HeadSizes& sizes);

}  // namespace gamut::attention
