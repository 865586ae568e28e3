// Checking of values against a script's bounds.
#include "config/expect.h"

#include <c10/util/StringUtil.h>

#include "config/scalar.h"
#include "gamut/error.h"

namespace gamut::config {
namespace {

std::optional<double> as_number(const Scalar& value) {
  if (auto* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
  if (auto* number = std::get_if<double>(&value)) return *number;
  return std::nullopt;
}

[[noreturn]] void fail(const Node& node, const std::string& path, const std::string& wish) {
  throw Error(c10::str(node.source.text(), ": `", path, "` is ", scalar_yaml(node.value),
                       "; it should be ", wish));
}

std::string number_wish(double bound) {
  bool whole = bound == static_cast<double>(static_cast<int64_t>(bound));
  return whole ? std::to_string(static_cast<int64_t>(bound)) : scalar_text(bound);
}

void check_bounds(const Node& node, const std::string& path, const Expectation& expectation) {
  const std::optional<double> number = as_number(node.value);
  const Expectation& e = expectation;
  if (!number) {
    if (e.min || e.max || e.above || e.below || e.multiple_of) fail(node, path, "a number");
    return;
  }
  // Negated, so that NaN fails every bound.
  if (e.min && !(*number >= *e.min)) fail(node, path, "at least " + number_wish(*e.min));
  if (e.max && !(*number <= *e.max)) fail(node, path, "at most " + number_wish(*e.max));
  if (e.above && !(*number > *e.above)) fail(node, path, "above " + number_wish(*e.above));
  if (e.below && !(*number < *e.below)) fail(node, path, "below " + number_wish(*e.below));
  auto* integer = std::get_if<int64_t>(&node.value);
  if (e.multiple_of && (!integer || *integer % *e.multiple_of != 0)) {
    fail(node, path, "a multiple of " + std::to_string(*e.multiple_of));
  }
}

bool equals(const Scalar& value, const Scalar& choice) {
  auto a = as_number(value), b = as_number(choice);
  return a && b ? *a == *b : value == choice;
}

}  // namespace

void check_expectation(const Node& node, const std::string& path, const Expectation& expectation) {
  GAMUT_CHECK(node.type != Type::map, "`", path, "` is a map; expect something of its keys");
  if (node.type == Type::list) {
    for (size_t i = 0; i < node.items.size(); ++i) {
      check_expectation(node.items[i], path + "." + std::to_string(i), expectation);
    }
    return;
  }
  if (node.is_null()) return;
  check_bounds(node, path, expectation);
  if (expectation.one_of.empty()) return;
  std::string choices;
  for (const Scalar& choice : expectation.one_of) {
    if (equals(node.value, choice)) return;
    choices += (choices.empty() ? "" : ", ") + scalar_yaml(choice);
  }
  fail(node, path, "one of " + choices);
}

}  // namespace gamut::config
