// Bounds that a script puts on its settings, checked where the value was written.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/node.h"

namespace gamut::config {

struct Expectation {
  std::optional<double> min, max;      // inclusive
  std::optional<double> above, below;  // exclusive
  std::optional<int64_t> multiple_of;
  std::vector<Scalar> one_of;
};

// Throws gamut::Error with the value's file and line, or argument, unless the value (each item of a
// list) fits. Null fits.
void check_expectation(const Node& node, const std::string& path, const Expectation& expectation);

}  // namespace gamut::config
