// The option table of the attention mixer.
#include "attention.h"

namespace gamut::attention {

OptionTable Attention::options() {
  using namespace gamut::option;
  return {
      integer("d_model", "Width of input and output.").at_least(1),
      integer("n_heads", "Query heads. Default: d_model / 64, at least 1.").optional().at_least(1),
      integer("n_kv_heads",
              "Key and value heads, a divisor of n_heads: query head h reads head h / (n_heads / "
              "n_kv_heads). Default: n_heads.")
          .optional()
          .at_least(1),
      integer("head_dim", "Channels of a head. Default: d_model / n_heads.").optional().at_least(1),
      string("rope",
             "Rotary positions: half pairs channels j and j + rope_dim / 2, interleaved pairs 2j "
             "and 2j + 1; none leaves positions to the mask. Default: half, with cross none.")
          .optional()
          .one_of({"none", "half", "interleaved"}),
      number("rope_base", "Pair j turns by position * rope_base^(-2j / rope_dim).")
          .value(10000.0)
          .above(0),
      integer("rope_dim", "Leading channels of a head that turn; even. Default: head_dim.")
          .optional()
          .at_least(2),
      boolean("rope_reverse", "Turn by minus the angle.").value(false),
      string(
          "rope_dtype",
          "bfloat16 rounds the frequencies, cosines and sines, as a model does whose buffers are "
          "bfloat16; positions and angles stay float32.")
          .value("float32")
          .one_of({"float32", "bfloat16"}),
      string("qk_norm",
             "RMS norm over each head of the queries and keys, before the rotation: rms with a "
             "learned weight, shared by heads; rms_weightless without.")
          .value("none")
          .one_of({"none", "rms", "rms_weightless"}),
      number("qk_norm_eps", "Epsilon of qk_norm.").value(1e-5).at_least(0),
      number("q_gain",
             "Initial value of a learned factor on the queries of each head. Absent: no factor.")
          .optional(),
      number("scale", "Factor on the scores. Default: 1 / sqrt(head_dim).").optional().above(0),
      integer("window",
              "A step sees itself and the window - 1 steps before it. 0: all earlier steps.")
          .value(int64_t{0})
          .at_least(0),
      boolean("cross",
              "Attend to a memory, such as an encoder's output, instead of earlier steps: "
              "context.memory [batch, steps, d_memory].")
          .value(false),
      integer("d_memory", "Channels of the memory. Default: d_model.").optional().at_least(1),
      boolean("qkv_bias", "Biases of q_proj, k_proj and v_proj; they start at 0.").value(false),
      boolean("out_bias", "Bias of o_proj; it starts at 0.").value(false),
      number("dropout", "Dropout on the output while training.").value(0.0).at_least(0).below(1),
      number("attn_dropout",
             "Dropout on the weights of the softmax while training. Its scores are then kept in "
             "memory, time x time a head.")
          .value(0.0)
          .at_least(0)
          .below(1),
      string("init",
             "Projections start from normal: N(0, init_std^2); xavier: Xavier uniform; kaiming: "
             "U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default.")
          .value("normal")
          .one_of({"normal", "xavier", "kaiming"}),
      number("init_std", "Standard deviation for init = normal.").value(0.02).at_least(0),
      number("out_init_scale",
             "Factor on the initial o_proj: 0 starts the layer at zero, 1 / sqrt(2 layers) keeps "
             "the residual stream's variance.")
          .value(1.0)
          .at_least(0),
  };
}

}  // namespace gamut::attention
