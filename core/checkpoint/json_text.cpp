// nlohmann's parser with a callback that watches keys and depth.
#include "checkpoint/json_text.h"

#include <gamut/error.h>

#include <unordered_set>
#include <vector>

namespace gamut::checkpoint {

using nlohmann::json;

json parse_json(std::string_view text, const std::string& where) {
  // The parser takes a NUL for the end of the text and would not look at what follows.
  const size_t zero = text.find('\0');
  GAMUT_CHECK(zero == text.npos, where, " is no valid JSON: there is a zero byte at byte ", zero);
  std::vector<std::unordered_set<std::string>> keys;
  auto watch = [&](int depth, json::parse_event_t event, json& value) {
    GAMUT_CHECK(depth < kMaxJsonDepth, where, " is nested deeper than ", kMaxJsonDepth, " levels");
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      GAMUT_CHECK(keys.back().insert(key).second, where, " has the key `", key,
                  "` twice in one object");
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::parse_error& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    const std::string words = error.what();
    throw Error(c10::str(where, " is no valid JSON: ", words.substr(words.find("] ") + 2)));
  }
}

}  // namespace gamut::checkpoint
