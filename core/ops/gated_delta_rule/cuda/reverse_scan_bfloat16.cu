// The reverse scan for bfloat16.
#include "ops/gated_delta_rule/cuda/reverse_scan.cuh"

namespace gamut::cuda {

Status reverse_scan_bfloat16(const ReverseScanCall& call, Stream stream) {
  const int64_t d_k = call.args.shape.d_k;
  if (d_k <= 64) return launch_reverse_scan<__nv_bfloat16, 8, 64>(call, stream);
  if (d_k <= 128) return launch_reverse_scan<__nv_bfloat16, 16, 64>(call, stream);
  return launch_reverse_scan<__nv_bfloat16, 32, 32>(call, stream);
}

}  // namespace gamut::cuda
