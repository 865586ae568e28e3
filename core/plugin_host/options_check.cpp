// Option values against their declarations: conversion, ranges, and the sentences of refusal.
#include "plugin_host/options_check.h"

#include <cmath>
#include <set>

#include "text/nearest.h"

namespace gamut::host {
namespace {

using Integers = std::vector<int64_t>;
using Numbers = std::vector<double>;
using Table = std::shared_ptr<const OptionMap>;

template <class T>
const T* as(const OptionValue& value) {
  return std::get_if<T>(&value.base());
}

bool is_empty_list(const OptionValue& value) {
  if (auto* list = as<Integers>(value)) return list->empty();
  if (auto* list = as<Numbers>(value)) return list->empty();
  if (auto* table = as<Table>(value)) return !*table || (*table)->empty();
  return false;
}

std::optional<int64_t> to_integer(double number) {
  const bool fits = number >= -9223372036854775808.0 && number < 9223372036854775808.0;
  if (!fits || std::floor(number) != number) return std::nullopt;
  return static_cast<int64_t>(number);
}

std::optional<OptionValue> to_integers(const OptionValue& value) {
  if (is_empty_list(value)) return OptionValue(Integers{});
  if (as<Integers>(value)) return value;
  auto* numbers = as<Numbers>(value);
  if (!numbers) return std::nullopt;
  Integers integers;
  for (double number : *numbers) {
    const auto integer = to_integer(number);
    if (!integer) return std::nullopt;
    integers.push_back(*integer);
  }
  return OptionValue(std::move(integers));
}

std::optional<OptionValue> to_numbers(const OptionValue& value) {
  if (is_empty_list(value)) return OptionValue(Numbers{});
  if (as<Numbers>(value)) return value;
  auto* integers = as<Integers>(value);
  if (!integers) return std::nullopt;
  return OptionValue(Numbers(integers->begin(), integers->end()));
}

// The value as the declared type, or nothing.
std::optional<OptionValue> convert(OptionType type, const OptionValue& value) {
  switch (type) {
    case OptionType::boolean:
      return as<bool>(value) ? std::optional(value) : std::nullopt;
    case OptionType::string:
      return as<std::string>(value) ? std::optional(value) : std::nullopt;
    case OptionType::integer: {
      if (as<int64_t>(value)) return value;
      auto* number = as<double>(value);
      const auto integer = number ? to_integer(*number) : std::nullopt;
      return integer ? std::optional(OptionValue(*integer)) : std::nullopt;
    }
    case OptionType::number:
      if (auto* integer = as<int64_t>(value)) return OptionValue(static_cast<double>(*integer));
      return as<double>(value) ? std::optional(value) : std::nullopt;
    case OptionType::integers:
      return to_integers(value);
    case OptionType::numbers:
      return to_numbers(value);
    case OptionType::table:
      if (is_empty_list(value)) return OptionValue(std::make_shared<const OptionMap>());
      return as<Table>(value) ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

bool in_range(const OptionSpec& spec, double number) {
  const bool above = spec.excludes_minimum ? number > spec.minimum : number >= spec.minimum;
  const bool below = spec.excludes_maximum ? number < spec.maximum : number <= spec.maximum;
  return above && below;  // false for NaN
}

bool in_range(const OptionSpec& spec, const OptionValue& value) {
  if (auto* integer = as<int64_t>(value)) return in_range(spec, static_cast<double>(*integer));
  if (auto* number = as<double>(value)) return in_range(spec, *number);
  auto ok = [&](auto element) { return in_range(spec, static_cast<double>(element)); };
  if (auto* list = as<Integers>(value)) return std::all_of(list->begin(), list->end(), ok);
  if (auto* list = as<Numbers>(value)) return std::all_of(list->begin(), list->end(), ok);
  return true;
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "\"" : ", \"") + name + "\"";
  return text;
}

std::string given_type(const OptionValue& value) {
  const OptionType types[] = {OptionType::boolean, OptionType::integer,  OptionType::number,
                              OptionType::string,  OptionType::integers, OptionType::numbers,
                              OptionType::table};
  return type_name(types[value.index()]);
}

}  // namespace

OptionValue check_option(const OptionSpec& spec, const OptionValue& given,
                         const std::string& context) {
  const std::string option = "option `" + spec.name + "` of " + context;
  const auto value = convert(spec.type, given);
  GAMUT_CHECK(value, option, " takes a value of type ", type_name(spec.type), ", not the ",
              given_type(given), " ", to_text(given));
  GAMUT_CHECK(in_range(spec, *value), option, " is ", to_text(given),
              "; allowed: ", range_text(spec).empty() ? "numbers, not NaN" : range_text(spec));
  if (auto* text = as<std::string>(*value); text && !spec.choices.empty()) {
    const bool known =
        std::find(spec.choices.begin(), spec.choices.end(), *text) != spec.choices.end();
    const std::string guess = text::nearest(*text, spec.choices);
    GAMUT_CHECK(known, option, " is ", to_text(given), "; allowed: ", join(spec.choices),
                guess.empty() ? "" : "; did you mean \"" + guess + "\"?");
  }
  return *value;
}

Options check_options(const OptionTable& table, const OptionMap& given, const std::string& context,
                      Missing missing) {
  std::vector<std::string> names;
  for (const auto& spec : table) names.push_back(spec.name);
  for (const auto& [name, value] : given) {
    GAMUT_CHECK(std::find(names.begin(), names.end(), name) != names.end(), "unknown option `",
                name, "` of ", context,
                names.empty() ? ", which has no options" : text::did_you_mean(name, names));
  }
  OptionMap checked;
  for (const auto& spec : table) {
    const auto found = given.find(spec.name);
    if (found != given.end()) {
      checked[spec.name] = check_option(spec, found->second, context);
    } else if (spec.default_value) {
      checked[spec.name] = check_option(spec, *spec.default_value, context);
    } else {
      GAMUT_CHECK(spec.is_optional || missing == Missing::allowed, context, " needs the option `",
                  spec.name, "` (", type_name(spec.type), "): ", spec.doc);
    }
  }
  return Options(std::move(checked));
}

void check_table(const OptionTable& table, const std::string& context) {
  std::set<std::string> seen;
  for (const auto& spec : table) {
    GAMUT_CHECK(!spec.name.empty() && seen.insert(spec.name).second, context,
                " declares the option `", spec.name, "` twice, or without a name");
    GAMUT_CHECK(!spec.doc.empty(), context, " declares the option `", spec.name,
                "` without saying what it does");
    GAMUT_CHECK(spec.minimum <= spec.maximum, context, " declares the option `", spec.name,
                "` with an empty range");
    GAMUT_CHECK(!(spec.default_value && spec.is_optional), context, " declares the option `",
                spec.name, "` both with a default and as one that may be absent");
    if (spec.default_value) check_option(spec, *spec.default_value, "the defaults of " + context);
  }
}

void check_ranges(const OptionTable& table, const std::string& context) {
  for (const auto& spec : table) {
    const bool counts = spec.type == OptionType::integer || spec.type == OptionType::integers;
    GAMUT_CHECK(!counts || std::isfinite(spec.minimum), context, " declares the option `",
                spec.name, "` as any integer; say what it may be: at_least(0), at_least(1)");
    const bool drops =
        spec.type == OptionType::number && spec.name.find("dropout") != std::string::npos;
    GAMUT_CHECK(!drops || (spec.minimum == 0 && spec.maximum <= 1), context,
                " declares the option `", spec.name, "` with ",
                range_text(spec).empty() ? "any value" : range_text(spec),
                "; a share that is dropped is at_least(0).below(1)");
    const auto* value = spec.default_value ? as<double>(*spec.default_value) : nullptr;
    GAMUT_CHECK(!drops || !value || *value == 0, context, " turns `", spec.name,
                "` on by default; a plugin's dropout is 0 unless a script asks for it");
  }
}

}  // namespace gamut::host
