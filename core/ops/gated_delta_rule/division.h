// How the backward pass is divided when there are fewer sequences and heads than threads: long
// sequences are cut into pieces that are differentiated at the same time, after a scan, by slices
// of the values' columns, has found the gradients of the states between them.
#pragma once

#include <cstdint>
#include <vector>

namespace gamut::ops {

struct DeltaRuleLoad {
  std::vector<int64_t> chunks;  // of every sequence
  int64_t heads;                // of q and k
  int64_t slices;               // into which the scan is divided
  int64_t threads;
};

// The chunks of a piece for which everything is likely to be done first; those of the longest
// sequence where cutting does not pay. Results are the same for any.
int64_t delta_rule_piece(const DeltaRuleLoad& load);

}  // namespace gamut::ops
