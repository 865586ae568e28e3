// JSON text, read strictly: what nlohmann lets pass silently is an error here.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gamut::checkpoint {

// Deeper nesting is refused: readers of the result recurse.
constexpr int kMaxJsonDepth = 100;

// The value of a whole text. `where` begins the messages of the gamut::Error for invalid JSON, a
// key that appears twice in an object, too deep nesting and anything behind the end.
nlohmann::json parse_json(std::string_view text, const std::string& where);

}  // namespace gamut::checkpoint
