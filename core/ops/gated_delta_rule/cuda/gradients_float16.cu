// The gradients of inputs for float16.
#include "ops/gated_delta_rule/cuda/gradients.cuh"

namespace gamut::cuda {

Status gradients_float16(const DeltaRuleBackward& args, Stream stream) {
  const int64_t d_k = args.shape.d_k;
  if (d_k <= 64) return launch_gradients<__half, 64, 4>(args, stream);
  if (d_k <= 128) return launch_gradients<__half, 64, 8>(args, stream);
  return launch_gradients<__half, 32, 8>(args, stream);
}

}  // namespace gamut::cuda
