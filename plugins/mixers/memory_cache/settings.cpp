// The options of memory_cache.
#include "settings.h"

namespace gamut::memory_cache {

OptionTable option_table() {
  return {
      option::integer("d_model", "width of the input and the output").at_least(1),
      option::string("mixer", "the recurrent mixer whose memory is cached").value("gdn"),
      option::table("mixer_options", "options of that mixer besides d_model")
          .value(std::make_shared<const OptionMap>()),
      option::string("aggregation", "how cached memories and the online one answer together")
          .value("gated_residual")
          .one_of({"gated_residual", "soup", "sparse", "residual"}),
      option::integer("top_k", "cached segments that a step reads; for aggregation sparse")
          .optional()
          .at_least(1),
      option::string("segments", "cached segments: all alike, or merged to lengths 2^i")
          .value("constant")
          .one_of({"constant", "logarithmic"}),
      option::integer("segment_size", "steps of a segment").value(256).at_least(1),
      option::integer("max_segments",
                      "how many of the last segments stay cached; all when absent; for constant "
                      "segments")
          .optional()
          .at_least(1),
      option::string("carry_over",
                     "what a segment starts from: the memory before it, or an empty one")
          .value("checkpoint")
          .one_of({"checkpoint", "independent"}),
      option::string("score",
                     "gates by a projection W_u of the input (learned, the default), or by the "
                     "mixer's own queries and keys; not for residual, which has none")
          .optional()
          .one_of({"learned", "query"}),
      option::boolean("stop_gradient", "no gradients through cached memories").value(false),
  };
}

namespace {

Aggregation aggregation_of(const std::string& name) {
  if (name == "residual") return Aggregation::residual;
  if (name == "soup") return Aggregation::soup;
  return name == "sparse" ? Aggregation::sparse : Aggregation::gated_residual;
}

Score score_of(const Options& options, Aggregation aggregation) {
  const bool gated = aggregation != Aggregation::residual;
  GAMUT_CHECK(gated || !options.has("score"),
              "aggregation = residual adds the reads as they are; leave out score, which is for "
              "gates");
  if (!gated) return Score::none;
  const bool by_query = options.has("score") && options.string("score") == "query";
  return by_query ? Score::query : Score::learned;
}

}  // namespace

Settings read_settings(const Options& options) {
  Settings s{};
  s.aggregation = aggregation_of(options.string("aggregation"));
  s.segments =
      options.string("segments") == "constant" ? Segments::constant : Segments::logarithmic;
  s.carry_over =
      options.string("carry_over") == "checkpoint" ? CarryOver::checkpoint : CarryOver::independent;
  s.score = score_of(options, s.aggregation);
  s.segment_size = options.integer("segment_size");
  s.top_k = options.has("top_k") ? options.integer("top_k") : 0;
  s.max_segments = options.has("max_segments") ? options.integer("max_segments") : 0;
  s.stop_gradient = options.boolean("stop_gradient");
  GAMUT_CHECK((s.aggregation == Aggregation::sparse) == (s.top_k > 0),
              "top_k and aggregation = sparse belong together: give both or neither");
  GAMUT_CHECK(s.segments == Segments::constant || s.max_segments == 0,
              "max_segments limits constant segments; logarithmic ones are few by themselves");
  return s;
}

}  // namespace gamut::memory_cache
