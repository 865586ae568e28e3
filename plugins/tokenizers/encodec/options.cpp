// The options of the tokenizer `encodec`.
#include "encodec.h"

namespace gamut::encodec {

OptionTable Encodec::options() {
  return {
      option::string(
          "weights",
          "safetensors file of a published or trained model, by the names of the authors "
          "(after `gamut convert`) or of transformers; or `random`, for trying out"),
      option::string("variant",
                     "24khz (mono), 48khz (stereo) or 32khz (MusicGen's); when absent, what "
                     "NAME_config.json or config.json beside the weights says, or else 24khz")
          .one_of({"24khz", "48khz", "32khz"})
          .optional(),
      option::number("bandwidth",
                     "kbps, which chooses the leading codebooks: at 24 kHz 0.75 each, at 48 kHz "
                     "1.5 each; 6 when absent, or all codebooks where they are fewer")
          .above(0)
          .optional(),
      option::number("scale",
                     "48 kHz: RMS of each decoded segment, since codes do not say how loud it was; "
                     "1 is what the network gives")
          .value(0.1)
          .above(0),
      option::integer("seed", "of random weights").value(int64_t{0}).at_least(0),
      option::string("device", "cpu or cuda").value(std::string("cpu")).one_of({"cpu", "cuda"}),
      option::integer("n_filters", "channels of the first convolution, for models of other sizes")
          .at_least(1)
          .optional(),
      option::integer("dimension", "width of latents, for models of other sizes")
          .at_least(1)
          .optional(),
      option::integer("lstm_layers", "for models of other sizes").at_least(1).optional(),
      option::integer("n_codebooks", "codebooks in the weights, for models of other sizes")
          .at_least(1)
          .optional(),
      option::integers("ratios", "strides of the decoder, for models of other sizes")
          .at_least(1)
          .optional(),
  };
}

}  // namespace gamut::encodec
