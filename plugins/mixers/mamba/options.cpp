// The option table of the mamba mixer.
#include "mamba.h"

namespace gamut::mamba {

namespace {

// What has no default in the table belongs to one version, which refuses those of the other.
OptionTable of_one_version() {
  using namespace gamut::option;
  return {
      integer("dt_rank",
              "Mamba-1: rank of the projection to the step size. Default: d_model / 16, rounded "
              "up.")
          .optional()
          .at_least(1),
      integer("head_dim",
              "Mamba-2: channels of a head, a divisor of expand * d_model. Default: 64.")
          .optional()
          .at_least(1),
      integer("n_groups",
              "Mamba-2: groups of heads that share B and C, and over which the norm is taken. "
              "Default: 1.")
          .optional()
          .at_least(1),
      boolean("norm_before_gate",
              "Mamba-2: norm(y) silu(z) instead of norm(y silu(z)). Default: false.")
          .optional(),
      number("norm_eps", "Mamba-2: epsilon of the RMS norm. Default: 1e-5.").optional().at_least(0),
      integer("chunk_size",
              "Mamba-2: steps computed in parallel, up to 256; 0: chosen. Changes rounding and "
              "speed only. "
              "Default: 0.")
          .optional()
          .at_least(0)
          .at_most(256),
      numbers("A_init_range",
              "Mamba-2: exp(A_log) begins uniform between these two. Default: {1, 16}.")
          .optional(),
  };
}

}  // namespace

OptionTable Mamba::options() {
  using namespace gamut::option;
  OptionTable table = {
      integer("d_model", "Width of input and output.").at_least(1),
      integer("version",
              "1: Mamba, a decay for each channel and state; 2: Mamba-2, one for each head.")
          .value(int64_t{1})
          .at_least(1)
          .at_most(2),
      integer("d_state", "States of a channel. Default: 16 for Mamba-1, 128 for Mamba-2.")
          .optional()
          .at_least(1)
          .at_most(256),
      number("expand", "Channels inside as a multiple of d_model.").value(2.0).above(0),
      integer("conv_size", "Taps of the short convolution (d_conv elsewhere).")
          .value(int64_t{4})
          .at_least(2)
          .at_most(64),
      boolean("conv_bias", "A bias in the short convolution.").value(true),
      boolean("bias", "A bias in in_proj and out_proj.").value(false),
      number("dt_min", "The step sizes begin log-uniform between dt_min and dt_max.")
          .value(0.001)
          .above(0),
      number("dt_max", "See dt_min.").value(0.1).above(0),
      number("dt_init_floor", "Least step size to begin with.").value(1e-4).above(0),
      number("out_init_scale", "Factor on the initial out_proj.weight.").value(1.0).at_least(0),
      number("dropout", "Dropout on the output while training.").value(0.0).at_least(0).below(1),
  };
  for (auto& spec : of_one_version()) table.push_back(std::move(spec));
  return table;
}

}  // namespace gamut::mamba
