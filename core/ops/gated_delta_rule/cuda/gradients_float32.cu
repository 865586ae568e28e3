// The gradients of inputs for float32.
#include "ops/gated_delta_rule/cuda/gradients.cuh"

namespace gamut::cuda {

Status gradients_float32(const DeltaRuleBackward& args, Stream stream) {
  return launch_gradients<float, 32, 4>(args, stream);
}

}  // namespace gamut::cuda
