// Where in a kernel's source something is called.
#pragma once

namespace gamut::cuda::emulation {

// As the last parameter of a function, with the default here(): the caller's file and line.
struct Site {
  const char* file = "";
  int line = 0;

  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
  bool operator!=(const Site& other) const { return line != other.line || file != other.file; }
};

}  // namespace gamut::cuda::emulation
