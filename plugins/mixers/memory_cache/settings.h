// What the options choose, checked against each other.
#pragma once

#include <gamut/options.h>

#include <cstdint>

namespace gamut::memory_cache {

enum class Aggregation { residual, gated_residual, soup, sparse };
enum class Segments { constant, logarithmic };
enum class CarryOver { checkpoint, independent };
enum class Score { none, learned, query };  // none: residual has no gates

struct Settings {
  Aggregation aggregation;
  Segments segments;
  CarryOver carry_over;
  Score score;
  int64_t segment_size;
  int64_t top_k;         // 0: all
  int64_t max_segments;  // 0: no limit
  bool stop_gradient;
};

OptionTable option_table();

// Throws gamut::Error for options that have no meaning together.
Settings read_settings(const Options& options);

}  // namespace gamut::memory_cache
