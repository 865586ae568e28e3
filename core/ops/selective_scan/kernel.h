// Arguments of the selective scan's kernels; the equations are in selective_scan.h.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

constexpr int64_t kScanSteps = 32;      // most steps of a chunk
constexpr int64_t kScanChannels = 128;  // most channels of a task
constexpr int64_t kScanLanes = 16;      // channels are padded to a multiple of it in checkpoints
constexpr int64_t kScanGroup = 4;       // states are padded to a multiple of it

// Steps [begin, end) of the flattened batch, within one document.
struct ScanChunk {
  int64_t begin, end;
  int64_t document;  // whose initial and final state it is
  bool is_first, is_last;
  int64_t checkpoint;  // where the state before it is kept, if it is not its document's first
};

// A task is some channels of one row of the batch. S is float for float32 and bfloat16, double for
// float64. "or null" is where something is absent.
struct SelectiveScanArguments {
  Element element;  // of u, delta, z, out and their gradients; the rest is S
  int64_t channels, states, padded_states;
  int64_t first_channel, n_channels;  // of this task
  bool delta_softplus;
  const ScanChunk* chunks;  // of this task
  int64_t n_chunks;
  const void *u, *delta, *z;  // [steps, channels], rows a stride apart; z or null
  int64_t u_stride, delta_stride, z_stride;
  const void* A;               // [channels, states]
  const void *B, *C;           // [steps, padded_states]
  const void *D, *delta_bias;  // [channels] or null
  const void* initial_state;   // [documents, channels, states] or null
  void* checkpoints;           // [checkpoints, channels padded, padded_states], or null forward
  void* scratch;               // selective_scan_scratch(padded_states) elements

  // forward
  void* out;          // [steps, channels]
  void* final_state;  // as initial_state

  // backward
  const void* d_out;  // [steps, channels], rows d_out_stride apart
  int64_t d_out_stride;
  const void* d_final_state;  // or null
  void *du, *d_delta, *dz;    // [steps, channels]; dz or null
  void* d_initial_state;      // or null
  void* dA;                   // [channels, states], this row's part
  void *dB, *dC;              // [steps, padded_states], the part of this task's channels
  void *dD, *d_delta_bias;    // [channels], this row's part
};

// What a task needs of memory besides, in elements of S: for each channel three rows of states, for
// each lane the state a chunk begins with, its steps, and the sums of dB and dC.
inline int64_t selective_scan_scratch(int64_t padded_states) {
  constexpr int64_t of_steps = kScanSteps * (8 + 2 * kScanGroup) + kScanGroup;
  const int64_t of_sums = 2 * kScanSteps * padded_states / kScanGroup;
  return 3 * kScanChannels * padded_states + kScanLanes * (padded_states + of_steps + of_sums);
}

GAMUT_ISA_KERNEL(selective_scan_forward, SelectiveScanArguments)
GAMUT_ISA_KERNEL(selective_scan_backward, SelectiveScanArguments)
// Forward where every chunk is a document of one step: decoding. Takes no checkpoints and no
// scratch.
GAMUT_ISA_KERNEL(selective_scan_step, SelectiveScanArguments)

}  // namespace gamut::ops
