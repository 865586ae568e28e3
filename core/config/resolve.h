// Layers a configuration: template, then files, then `key=value` arguments, each checked against
// the template. How a template declares types is in README.md.
#pragma once

#include <string>
#include <vector>

#include "config/node.h"
#include "config/raw.h"

namespace gamut::config {

// Turns a template into a tree with declared types and default values.
Node declare(const RawNode& raw);

// Overlays a file's values on the configuration.
void apply_layer(Node& config, const RawNode& layer);

// Applies `lr=0.1`, `optimizer.lr=0.1`, `betas.0=0.8` or `betas=[0.8, 0.9]`.
void apply_override(Node& config, const std::string& argument);

// The files, then the arguments, in order. Every error names the file and line, or the argument.
void apply(Node& config, const std::vector<std::string>& layer_paths,
           const std::vector<std::string>& overrides);

}  // namespace gamut::config
