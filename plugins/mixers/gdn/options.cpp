// The option table of the gdn mixer.
#include "gdn.h"
#include "presets.h"

namespace gamut::gdn {

using namespace gamut::option;

namespace {

// An option that the preset decides when it is not given.
OptionSpec by_preset(OptionSpec spec) {
  const auto value = preset_default(spec.name);
  if (!value.empty()) spec.doc += " fla: " + value + ".";
  return std::move(spec).optional();
}

OptionSpec preset_option() {
  std::string doc =
      "Values for those of the options below that are not given; where a preset does not say, "
      "fla's hold.";
  for (const auto& name : preset_names()) {
    if (name != "fla") doc += " " + preset_text(name) + ".";
  }
  return string("preset", doc).value("fla").one_of(preset_names());
}

OptionTable sizes() {
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
      preset_option(),
      integer("head_dim",
              "Query and key channels of a head (d_k). Default, unless the preset says: 0.75 "
              "d_model / n_heads, rounded, which with expand_v = 2 costs about as many weights as "
              "attention does.")
          .optional()
          .at_least(1)
          .at_most(256),
      by_preset(number("expand_v", "Value channels of a head as a multiple of head_dim.").above(0)),
  };
}

OptionTable parts() {
  return {
      by_preset(
          boolean("use_short_conv", "Causal depthwise convolution over queries, keys and values.")),
      integer("conv_size", "Taps of the short convolution.")
          .value(int64_t{4})
          .at_least(2)
          .at_most(64),
      by_preset(string("activation",
                       "Of queries, keys and values, after the convolution where there is one.")
                    .one_of({"silu", "none"})),
      by_preset(boolean("use_gate", "Multiply the normalised output by silu(g_proj x).")),
      by_preset(boolean("use_out_norm", "RMS norm over the value channels of each head.")),
      by_preset(boolean(
          "allow_neg_eigval",
          "Write strength beta in (0, 2) instead of (0, 1), so that the state transition can "
          "have negative eigenvalues.")),
      by_preset(
          string("qk_norm",
                 "l2: q / sqrt(sum q^2 + 1e-6), keys alike; l2_clamp: q / max(|q|, 1e-6); rms_l2: "
                 "a learned RMS norm, then l2; none: as they are (keys longer than sqrt(2 / beta) "
                 "make the state diverge).")
              .one_of({"l2", "l2_clamp", "rms_l2", "none"})),
      number("scale", "Factor on the queries. Default, unless the preset says: 1 / sqrt(head_dim).")
          .optional()
          .above(0),
      by_preset(
          string("decay",
                 "mamba: g = -exp(A_log) softplus(a_proj x + dt_bias); sigmoid: g = log sigmoid"
                 "(a_proj x + bias).")
              .one_of({"mamba", "sigmoid"})),
      by_preset(boolean("b_bias", "A bias in b_proj, the projection to the write strength.")),
      by_preset(number("norm_eps", "Epsilon of the RMS norms.").at_least(0)),
      number("dropout", "Dropout on the output while training.").value(0.0).at_least(0).below(1),
      integer("chunk_size",
              "Steps computed in parallel: a power of two from 16, or 0: chosen. Changes rounding "
              "and speed only.")
          .value(int64_t{0})
          .at_least(0)
          .at_most(256),
  };
}

OptionTable start() {
  return {
      by_preset(
          string("init",
                 "Projections and convolutions start from normal: N(0, init_std^2); xavier: Xavier "
                 "uniform; kaiming: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default.")
              .one_of({"normal", "xavier", "kaiming"})),
      number("init_std", "Standard deviation for init = normal.").value(0.02).at_least(0),
      by_preset(
          number("out_init_scale",
                 "Factor on the initial o_proj: 0 starts the layer at zero, 1 / sqrt(2 layers) "
                 "keeps the residual stream's variance.")
              .at_least(0)),
      by_preset(
          number("gate_init_scale",
                 "Factor on the initial a_proj and b_proj: with 0 decay and write strength start "
                 "as their biases say, alike at every step.")
              .at_least(0)),
      by_preset(numbers("A_init_range", "A_log starts at log U(low, high). For decay = mamba.")),
      by_preset(numbers("dt_init_range",
                        "softplus(dt_bias) starts log-uniform between these. For decay = mamba.")),
      number("dt_init_floor", "Least initial softplus(dt_bias).").value(1e-4).above(0),
      number("a_bias_init", "Initial bias of a_proj, for decay = sigmoid: 4 keeps 98 % a step.")
          .value(4.0),
      number("b_bias_init", "Initial bias of b_proj, with b_bias.").value(-2.0),
  };
}

}  // namespace

OptionTable Gdn::options() {
  OptionTable table = sizes();
  for (const auto& more : {parts(), start()}) table.insert(table.end(), more.begin(), more.end());
  return table;
}

}  // namespace gamut::gdn
