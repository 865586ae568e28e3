// Lua values as JSON and back, exactly.
//
// Tables: with keys 1..n (n > 0) a list, with string keys an object, empty an object; one marked by
// gamut.json.array is a list also when empty. Anything else in a table, and functions, threads and
// userdata, are errors that name the path. Numbers: integers stay integers of 64 bits, floats stay
// floats and come back bit for bit (1.0 is written `1.0`); an integer of JSON beyond 64 bits
// becomes a float. null: nil cannot stand in a table, so it is the value gamut.json.null.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "script/lua.h"

namespace gamut::script {

// JSON has no NaN and no infinities.
enum class NonFinite {
  refuse,  // an error that names the path
  null,    // written as null; does not come back
  tagged,  // {"$number": "nan" | "inf" | "-inf"}; comes back
};

// `path` is what messages call the value: "state" gives "state.loader.files[2]". Throws
// gamut::Error for what JSON cannot hold, cycles included.
nlohmann::json json_from_lua(lua_State* L, int index, NonFinite policy, const std::string& path);

// Pushes one value. With NonFinite::tagged, tagged numbers become numbers.
void push_json(lua_State* L, const nlohmann::json& value, NonFinite policy);

}  // namespace gamut::script
