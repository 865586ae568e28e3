// Checks that most mixers begin `forward` with.
#pragma once

#include <gamut/mixer.h>

namespace gamut {

// Throws gamut::Error unless x is [batch, time, d_model] of the dtype and device of `parameter`.
inline void check_mixer_input(const at::Tensor& x, int64_t d_model, const at::Tensor& parameter) {
  GAMUT_CHECK(x.dim() == 3 && x.size(2) == d_model, "the input is ", x.sizes(),
              "; right would be [batch, time, ", d_model, "]");
  GAMUT_CHECK(x.scalar_type() == parameter.scalar_type() && x.device() == parameter.device(),
              "the input is ", x.scalar_type(), " on ", x.device(), " and the parameters are ",
              parameter.scalar_type(), " on ", parameter.device(), "; convert one of them");
}

// Throws gamut::Error unless the state's tensor has a row for each row of x.
inline void check_state_rows(const at::Tensor& state, const at::Tensor& x) {
  GAMUT_CHECK(state.size(0) == x.size(0), "the state has ", state.size(0),
              " rows and the input has ", x.size(0), "; make a new state for this batch");
}

}  // namespace gamut
