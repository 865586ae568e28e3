// One launch of the reverse scan, and its instances: between reverse_scan.cu, which divides it, and
// the files that each hold the instances of one element type.
#pragma once

#include <cstddef>

#include "ops/gated_delta_rule/cuda/backward.h"
#include "ops/gated_delta_rule/cuda/scan.h"

namespace gamut::cuda {

// As ScanPass, from the end: probe takes every run but the first from a gradient of zero behind it,
// and at the same time the run's matrix from the unit matrix.
enum class ReversePass : int { whole, probe, runs };

struct ReverseScanCall {
  DeltaRuleBackward args;
  ReversePass pass;
  int64_t parts;  // sequences or slots of runs
  int slices;     // blocks that share the columns of a part and head
};

// By the smallest instance that holds d_k.
Status reverse_scan_bfloat16(const ReverseScanCall& call, Stream stream);
Status reverse_scan_float16(const ReverseScanCall& call, Stream stream);
Status reverse_scan_float32(const ReverseScanCall& call, Stream stream);

// Shared memory of a block by this plan.
size_t reverse_scan_bytes(const DeltaRuleShape& shape, const DeltaRuleBackwardPlan& plan);

}  // namespace gamut::cuda
