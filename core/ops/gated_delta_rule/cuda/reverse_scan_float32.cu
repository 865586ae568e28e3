// The reverse scan for float32.
#include "ops/gated_delta_rule/cuda/reverse_scan.cuh"

namespace gamut::cuda {

Status reverse_scan_float32(const ReverseScanCall& call, Stream stream) {
  const int64_t d_k = call.args.shape.d_k;
  if (d_k <= 64) return launch_reverse_scan<float, 8, 32>(call, stream);
  if (d_k <= 128) return launch_reverse_scan<float, 16, 32>(call, stream);
  return launch_reverse_scan<float, 32, 32>(call, stream);
}

}  // namespace gamut::cuda
