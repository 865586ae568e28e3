// Named sets of option values: published layers and the studies that this mixer has to be.
#pragma once

#include <gamut/options.h>

#include <string>
#include <vector>

namespace gamut::gdn {

// "fla" first, which has a value for every option that a preset may set.
std::vector<std::string> preset_names();

// What the preset has unlike fla, for people: "golf: norm_eps = 1.1920929e-07, ...".
std::string preset_text(const std::string& name);

// fla's value of an option, for people; "" when it has none.
std::string preset_default(const std::string& option);

// The options with the values of their preset where they were not given.
Options with_preset(const Options& given);

}  // namespace gamut::gdn
