// A configuration as a tree of typed values, each of which knows the file and line it came from.
//
// The same tree serves a study's template (it declares keys, types and defaults) and the resolved
// configuration (the template with every layer applied).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace gamut::config {

// Where a value was written: a file and line, or a command-line argument (line 0).
struct Source {
  std::shared_ptr<const std::string> origin;
  int line = 0;

  // `config.yaml:12`, or "argument `lr=3`".
  std::string text() const;
};

// `scalar` is the type of a key whose template says null: any scalar or nothing.
enum class Type { boolean, integer, number, string, list, map, scalar };

// "a number", "a list", … for messages.
const char* type_name(Type type);

using Scalar = std::variant<std::monostate, bool, int64_t, double, std::string>;

struct Node {
  using Member = std::pair<std::string, Node>;

  Type type = Type::scalar;     // what may stand here
  bool optional = false;        // null may stand here
  bool open = false;            // map: any key, any type below; its reader checks them
  Scalar value;                 // of a scalar; monostate is null
  std::vector<Node> items;      // of a list
  std::optional<Type> element;  // of a list: type of its items; none: anything
  std::vector<Member> members;  // of a map, in the order they were written
  Source source;                // of the value in force
  Source declaration;           // of the template's line

  bool is_null() const;
  const Node* find(const std::string& key) const;
  Node* find(const std::string& key);
  // The node at `a.b.2`: map keys and list indices from 0. Null if there is none.
  const Node* at_path(const std::string& path) const;
};

// What a scalar is by itself: "number `0.5`", "null", … for messages.
std::string describe(const Scalar& value);

// Splits at dots; throws on an empty part, naming the path.
std::vector<std::string> split_path(const std::string& path);

// A list index, or -1 if the text is none.
int64_t parse_index(const std::string& text);

}  // namespace gamut::config
