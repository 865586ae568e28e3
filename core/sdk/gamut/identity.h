// Capability "identity/1" of tokenizers: what, beside name, version and options, decides the codes.
// It is written beside every code that is stored, and compared before stored codes are used.
#pragma once

#include <map>
#include <string>

namespace gamut {

class __attribute__((visibility("default"))) Identity {
 public:
  static constexpr const char* kId = "identity/1";
  virtual ~Identity() = default;

  // By name, such as {"weights_sha256", 64 hexadecimal digits}. Equal maps mean equal codes.
  virtual std::map<std::string, std::string> identity() const = 0;
};

}  // namespace gamut
