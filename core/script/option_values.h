// Options of plugins between Lua tables and the SDK's types.
#pragma once

#include <gamut/options.h>

#include <string>

#include "script/lua.h"

namespace gamut::script {

// The table at `index` as option values; nil and none are no options. `context` says whose they
// are, such as "mixer `gdn`". Keys in `skip` (null-terminated, may be null) are left out. Throws
// gamut::Error for a key that is no string and a value that no option can have: a table that mixes
// a list and names, a list of other things than numbers, a function.
OptionMap to_option_map(lua_State* L, int index, const std::string& context,
                        const char* const* skip = nullptr);

// One value; `name` is the option's, for messages.
OptionValue to_option_value(lua_State* L, int index, const std::string& name,
                            const std::string& context);

void push_option_value(lua_State* L, const OptionValue& value);
void push_option_map(lua_State* L, const OptionMap& values);

// A plugin's table as a list of {name=, type=, doc=, default=, min= or above=, max= or
// below=, choices=, optional=}.
void push_option_table(lua_State* L, const OptionTable& table);

// The reverse: a list of {name, type, default=, min=, max=, above=, below=, choices=,
// optional=, doc=} as a script
// declares it for a mixer of its own. Throws gamut::Error for what cannot be meant.
OptionTable to_option_table(lua_State* L, int index, const std::string& context);

}  // namespace gamut::script
