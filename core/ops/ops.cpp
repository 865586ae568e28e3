// The list of operators: schema and function of each.
#include "ops/ops.h"

#include <torch/library.h>

#include "ops/norm/rms_norm.h"

namespace gamut::ops {

TORCH_LIBRARY_FRAGMENT(gamut, library) {
  library.def("rms_norm(Tensor x, Tensor? weight, float eps) -> Tensor", rms_norm);
}

void link_operators() {}

}  // namespace gamut::ops
