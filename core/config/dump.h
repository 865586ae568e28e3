// The resolved configuration as text, and what differs between two.
#pragma once

#include <string>
#include <vector>

#include "config/node.h"

namespace gamut::config {

// YAML in the template's order. Exact: it is itself a valid template, and loading it gives the same
// tree.
std::string dump(const Node& config);

// One value as YAML on one line.
std::string dump_flow(const Node& node);

struct Change {
  std::string key;                   // dotted path
  std::string old_value, new_value;  // YAML; "(not set)" where the key is absent
  Source source;                     // of the new value; of the old one where the key is gone
};

// The values that differ, in the order of `new_config`, then those that only `old_config` has.
std::vector<Change> diff(const Node& old_config, const Node& new_config);

}  // namespace gamut::config
