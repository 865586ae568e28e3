// One launch of the scan, and its instances: between split.cu, which plans and divides, and the
// files that each hold the instances of one element type.
#pragma once

#include "ops/gated_delta_rule/cuda/delta_rule.h"

namespace gamut::cuda {

constexpr int kScanMaxWarps = 8;

// A sequence in one pass. Or in runs: probe takes every run but the last from a state of zero, and
// at the same time the run's matrix from the unit matrix; when the states between runs are known,
// `runs` computes the results.
enum class ScanPass : int { whole, probe, runs };

struct ScanCall {
  DeltaRuleForward args;
  ScanPass pass;
  int64_t parts;                                // sequences or slots of runs
  int slices;                                   // blocks that share the columns of a part and head
  int q_bytes, k_bytes, v_bytes, output_bytes;  // copied at a time
  Stream stream;
};

// By the smallest instance that holds d_k.
Status scan_bfloat16(const ScanCall& call);
Status scan_float16(const ScanCall& call);
Status scan_float32(const ScanCall& call);

}  // namespace gamut::cuda
