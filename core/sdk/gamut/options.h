// Options of a plugin, declared once: names, types, defaults, ranges and documentation.
//
// The table drives validation, `gamut plugins show`, the editor stubs and the saved configuration.
// A plugin declares the table and reads checked values; the host does the checking:
//
//     return {option::integer("d_model", "width of the model").at_least(1),
//             option::number("dropout", "share of outputs set to
//             0").value(0.0).at_least(0).below(1), option::string("gate", "activation of the
//             gate").value("silu").one_of({"silu", "none"})};
#pragma once

#include <gamut/error.h>

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace gamut {

enum class OptionType { boolean, integer, number, string, integers, numbers, table };

struct OptionValue;
// Option values by name, as a script or a configuration file gave them: not checked yet.
using OptionMap = std::map<std::string, OptionValue>;

// One value. Nested tables serve plugins that wrap others (`mixer = {name = "gdn", ...}`).
struct OptionValue : std::variant<bool, int64_t, double, std::string, std::vector<int64_t>,
                                  std::vector<double>, std::shared_ptr<const OptionMap>> {
  using variant::variant;
  const variant& base() const { return *this; }
};

// Declaration of one option. Built by the functions below, refined by the chained setters.
struct OptionSpec {
  std::string name;
  OptionType type;
  std::string doc;
  std::optional<OptionValue> default_value;  // none: the option is required unless `optional`
  bool is_optional = false;                  // may be absent; ask Options::has
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  bool excludes_minimum = false;  // bounds hold for a number and for each element of a list
  bool excludes_maximum = false;
  std::vector<std::string> choices;  // allowed values of a string option; empty: any

  OptionSpec value(OptionValue v) && {
    default_value = std::move(v);
    return std::move(*this);
  }
  OptionSpec optional() && {
    is_optional = true;
    return std::move(*this);
  }
  OptionSpec at_least(double bound) && {
    minimum = bound;
    return std::move(*this);
  }
  OptionSpec at_most(double bound) && {
    maximum = bound;
    return std::move(*this);
  }
  OptionSpec above(double bound) && {
    minimum = bound;
    excludes_minimum = true;
    return std::move(*this);
  }
  OptionSpec below(double bound) && {
    maximum = bound;
    excludes_maximum = true;
    return std::move(*this);
  }
  OptionSpec one_of(std::vector<std::string> names) && {
    choices = std::move(names);
    return std::move(*this);
  }
};

using OptionTable = std::vector<OptionSpec>;

namespace option {
inline OptionSpec make(OptionType type, std::string name, std::string doc) {
  OptionSpec spec;
  spec.name = std::move(name);
  spec.type = type;
  spec.doc = std::move(doc);
  return spec;
}
inline OptionSpec boolean(std::string name, std::string doc) {
  return make(OptionType::boolean, std::move(name), std::move(doc));
}
inline OptionSpec integer(std::string name, std::string doc) {
  return make(OptionType::integer, std::move(name), std::move(doc));
}
inline OptionSpec number(std::string name, std::string doc) {
  return make(OptionType::number, std::move(name), std::move(doc));
}
inline OptionSpec string(std::string name, std::string doc) {
  return make(OptionType::string, std::move(name), std::move(doc));
}
inline OptionSpec integers(std::string name, std::string doc) {
  return make(OptionType::integers, std::move(name), std::move(doc));
}
inline OptionSpec numbers(std::string name, std::string doc) {
  return make(OptionType::numbers, std::move(name), std::move(doc));
}
inline OptionSpec table(std::string name, std::string doc) {
  return make(OptionType::table, std::move(name), std::move(doc));
}
}  // namespace option

// Checked values of a plugin's options: every declared option is present with its declared type,
// except optional ones that were not given. Asking for an undeclared name throws gamut::Error.
class Options {
 public:
  Options() = default;
  explicit Options(OptionMap values) : values_(std::move(values)) {}

  bool has(const std::string& name) const { return values_.count(name) != 0; }
  bool boolean(const std::string& name) const { return get<bool>(name); }
  int64_t integer(const std::string& name) const { return get<int64_t>(name); }
  double number(const std::string& name) const { return get<double>(name); }
  const std::string& string(const std::string& name) const { return get<std::string>(name); }
  const std::vector<int64_t>& integers(const std::string& name) const {
    return get<std::vector<int64_t>>(name);
  }
  const std::vector<double>& numbers(const std::string& name) const {
    return get<std::vector<double>>(name);
  }
  const OptionMap& table(const std::string& name) const {
    return *get<std::shared_ptr<const OptionMap>>(name);
  }

  const OptionMap& values() const { return values_; }
  void set(const std::string& name, OptionValue value) { values_[name] = std::move(value); }

 private:
  template <class T>
  const T& get(const std::string& name) const {
    auto found = values_.find(name);
    GAMUT_CHECK(found != values_.end(), "option `", name, "` was read but is not set");
    const T* value = std::get_if<T>(&found->second.base());
    GAMUT_CHECK(value, "option `", name, "` was read as another type than it was declared with");
    return *value;
  }

  OptionMap values_;
};

}  // namespace gamut
