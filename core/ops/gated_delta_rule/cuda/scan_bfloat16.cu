// The scan for bfloat16: the head sizes of the studies have instances of their own.
#include "ops/gated_delta_rule/cuda/scan.cuh"

namespace gamut::cuda {

Status scan_bfloat16(const ScanCall& call) {
  const int64_t d_k = call.args.shape.d_k;
  if (d_k <= 48) return launch_scan<__nv_bfloat16, 64, 48>(call);
  if (d_k <= 64) return launch_scan<__nv_bfloat16, 64, 64>(call);
  if (d_k <= 96) return launch_scan<__nv_bfloat16, 64, 96>(call);
  if (d_k <= 128) return launch_scan<__nv_bfloat16, 64, 128>(call);
  return launch_scan<__nv_bfloat16, 32, 256>(call);
}

}  // namespace gamut::cuda
