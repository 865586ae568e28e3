// The exception that plugins and core throw for anything a user can act on.
#pragma once

#include <c10/util/StringUtil.h>

#include <stdexcept>
#include <string>

namespace gamut {

// The message is one sentence for the person who has to act: what was wrong, where, what would be
// right. Default visibility lets the host catch it by type across the plugin border.
class __attribute__((visibility("default"))) Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace gamut

// Throws gamut::Error with the remaining arguments concatenated unless `condition` holds.
#define GAMUT_CHECK(condition, ...)                                  \
  do {                                                               \
    if (!(condition)) throw ::gamut::Error(::c10::str(__VA_ARGS__)); \
  } while (false)
