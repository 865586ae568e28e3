// The name a user probably meant.
#pragma once

#include <string>
#include <vector>

namespace gamut::config {

// The candidate with the smallest edit distance (adjacent swaps count once) if it is close enough
// to be worth suggesting, else an empty string.
std::string nearest(const std::string& name, const std::vector<std::string>& candidates);

}  // namespace gamut::config
