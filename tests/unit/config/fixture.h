// Shorthand for configurations from literal text.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/dump.h"
#include "config/resolve.h"
#include "gamut/error.h"

namespace gamut::config {

inline Node template_of(const std::string& yaml) {
  return declare(parse_yaml(yaml, "config.yaml"));
}

// The template with one layer on top.
inline Node layered(const std::string& yaml, const std::string& layer) {
  Node config = template_of(yaml);
  apply_layer(config, parse_yaml(layer, "extra.yaml"));
  return config;
}

inline Node overridden(const std::string& yaml, const std::vector<std::string>& arguments) {
  Node config = template_of(yaml);
  apply(config, {}, arguments);
  return config;
}

inline Scalar value_at(const Node& config, const std::string& path) {
  const Node* node = config.at_path(path);
  return node ? node->value : Scalar("no such key");
}

// The whole message of the gamut::Error that `call` throws.
template <class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace gamut::config
