// Checks the option values that a script gives against the table that a plugin declares.
#pragma once

#include <gamut/options.h>

#include <string>

namespace gamut::host {

// Whether a required option may be absent: only for what is common to all groups of an optimizer.
enum class Missing { refused, allowed };

// The values with defaults filled in and types as declared. `context` says whose options they are,
// such as "mixer `attention`". Throws gamut::Error for an unknown name (with the nearest known
// one), a wrong type, a value out of range or not among the choices, and a missing required option.
//
// Numbers convert as in Lua itself: an integer is a number, and 4.0 is an integer while 4.5 is not.
// A boolean is never a number. An empty list or table counts as either, as Lua cannot tell them
// apart.
Options check_options(const OptionTable& table, const OptionMap& given, const std::string& context,
                      Missing missing = Missing::refused);

// The same for one value.
OptionValue check_option(const OptionSpec& spec, const OptionValue& given,
                         const std::string& context);

// Throws gamut::Error when the declaration itself is wrong: a name twice, no documentation, a
// default that its own range refuses. For plugin authors; `gamut check` runs it.
void check_table(const OptionTable& table, const std::string& context);

// Throws gamut::Error when an integer may be anything, or a dropout is no share or not 0 by
// default.
void check_ranges(const OptionTable& table, const std::string& context);

// From the command line: `text` as a value of the type that `spec` declares.
OptionValue parse_option(const OptionSpec& spec, const std::string& text,
                         const std::string& context);

// The same without a declaration, as a script would write it: true, 3, 0.5 or text.
OptionValue parse_value(const std::string& text);

// For people: "integer", "list of numbers"; `0.1`, "silu", {1, 2}; "from 1 to 8", "above 0".
std::string type_name(OptionType type);
std::string to_text(const OptionValue& value);
std::string range_text(const OptionSpec& spec);

}  // namespace gamut::host
