// The reverse scan for float16.
#include "ops/gated_delta_rule/cuda/reverse_scan.cuh"

namespace gamut::cuda {

Status reverse_scan_float16(const ReverseScanCall& call, Stream stream) {
  const int64_t d_k = call.args.shape.d_k;
  if (d_k <= 64) return launch_reverse_scan<__half, 8, 64>(call, stream);
  if (d_k <= 128) return launch_reverse_scan<__half, 16, 64>(call, stream);
  return launch_reverse_scan<__half, 32, 32>(call, stream);
}

}  // namespace gamut::cuda
