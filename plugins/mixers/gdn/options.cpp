// The option table of the gdn mixer.
#include "gdn.h"

namespace gamut::gdn {

OptionTable Gdn::options() {
  using namespace gamut::option;
  return {
      integer("d_model", "Width of input and output.").at_least(1),
      integer("n_heads", "Query and key heads. Default: d_model / 64, at least 1.")
          .optional()
          .at_least(1),
      integer("n_v_heads",
              "Value heads, a multiple of n_heads: value head j shares the query and key of head "
              "j / (n_v_heads / n_heads). Default: n_heads.")
          .optional()
          .at_least(1),
      integer("head_dim",
              "Query and key channels of a head (d_k). Default: 0.75 d_model / n_heads, rounded, "
              "which with expand_v = 2 costs about as many weights as attention does.")
          .optional()
          .at_least(1)
          .at_most(256),
      number("expand_v", "Value channels of a head as a multiple of head_dim.").value(2.0).above(0),
      boolean("use_short_conv", "Causal depthwise convolution over queries, keys and values.")
          .value(true),
      integer("conv_size", "Taps of the short convolution.")
          .value(int64_t{4})
          .at_least(2)
          .at_most(64),
      boolean("use_gate", "Multiply the normalised output by silu(g_proj x).").value(true),
      boolean("use_out_norm", "RMS norm over the value channels of each head.").value(true),
      boolean("allow_neg_eigval",
              "Write strength beta in (0, 2) instead of (0, 1), so that the state transition can "
              "have negative eigenvalues.")
          .value(false),
      string("qk_norm",
             "l2: unit queries and keys; rms_l2: a learned RMS norm before that; none: as they "
             "are (keys longer than sqrt(2 / beta) make the state diverge).")
          .value("l2")
          .one_of({"l2", "rms_l2", "none"}),
      number("scale", "Factor on the queries. Default: 1 / sqrt(head_dim).").optional().above(0),
      string("decay",
             "mamba: g = -exp(A_log) softplus(a_proj x + dt_bias); sigmoid: g = log sigmoid(a_proj "
             "x + bias).")
          .value("mamba")
          .one_of({"mamba", "sigmoid"}),
      boolean("b_bias", "A bias in b_proj, the projection to the write strength.").value(false),
      number("norm_eps", "Epsilon of the RMS norms.").value(1e-5).at_least(0),
      number("dropout", "Dropout on the output while training.").value(0.0).at_least(0).below(1),
      integer("chunk_size",
              "Steps computed in parallel: a power of two. Changes rounding and speed only.")
          .value(int64_t{32})
          .at_least(16)
          .at_most(256),
      string("init",
             "Projections and convolutions start from normal: N(0, init_std^2); xavier: Xavier "
             "uniform; kaiming: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default.")
          .value("normal")
          .one_of({"normal", "xavier", "kaiming"}),
      number("init_std", "Standard deviation for init = normal.").value(0.02).at_least(0),
      number("out_init_scale",
             "Factor on the initial o_proj: 0 starts the layer at zero, 1 / sqrt(2 layers) keeps "
             "the residual stream's variance.")
          .value(1.0)
          .at_least(0),
      numbers("A_init_range", "A_log starts at log U(low, high). For decay = mamba.")
          .value(std::vector<double>{0.0, 16.0}),
      numbers("dt_init_range",
              "softplus(dt_bias) starts log-uniform between these. For decay = mamba.")
          .value(std::vector<double>{0.001, 0.1}),
      number("dt_init_floor", "Least initial softplus(dt_bias).").value(1e-4).above(0),
      number("a_bias_init", "Initial bias of a_proj, for decay = sigmoid: 4 keeps 98 % a step.")
          .value(4.0),
      number("b_bias_init", "Initial bias of b_proj, with b_bias.").value(-2.0),
  };
}

}  // namespace gamut::gdn
