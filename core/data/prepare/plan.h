// What a preparation is to do, written first into its journal, and how it differs from what an
// earlier process began.
#pragma once

#include <string>
#include <vector>

#include "data/prepare/unit.h"

namespace gamut::data {

// Fills in sizes and times of files, and weights. Throws gamut::Error for a name twice, a split of
// another name than train, val and test, and no units at all. A file that is not there is left to
// the unit's turn.
void complete_units(std::vector<Unit>& units);

// 32 hexadecimal digits of all that decides what the unit becomes, beside the plan.
std::string fingerprint(const Unit& unit);

// "`tokenizer.options.bandwidth` was 6.0 and is 3.0 now", for up to three values; "" for none.
std::string difference(const nlohmann::json& before, const nlohmann::json& now);

}  // namespace gamut::data
