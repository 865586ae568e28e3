// The scan for float16.
#include "ops/gated_delta_rule/cuda/scan.cuh"

namespace gamut::cuda {

Status scan_float16(const ScanCall& call) {
  const int64_t d_k = call.args.shape.d_k;
  if (d_k <= 64) return launch_scan<__half, 64, 64>(call);
  if (d_k <= 128) return launch_scan<__half, 64, 128>(call);
  return launch_scan<__half, 32, 256>(call);
}

}  // namespace gamut::cuda
