// Turns C++ exceptions into the sentence that a user reads.
#include <c10/util/Exception.h>

#include "script/lua.h"

namespace gamut::script {

std::string message_of(const std::exception& error) {
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error)) {
    return torch_error->what_without_backtrace();
  }
  return error.what();
}

}  // namespace gamut::script
