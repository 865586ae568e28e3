// Values of a pickled dictionary of NumPy arrays, protocols 2 to 4: what a .dac file holds.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace gamut::dac {

// Values refer to each other by their place in Pickle::values, so that a hostile file can make
// neither cycles of ownership nor deep recursion.
struct Pickled {
  enum class Kind { none, boolean, integer, real, text, bytes, tuple, list, dict, global, object };
  Kind kind = Kind::none;
  int64_t number = 0;     // of a boolean or an integer
  double real = 0;        // of a real
  std::string_view text;  // of text and bytes, and the class of an object: "ndarray" or "dtype"
  size_t at = 0;          // the byte of the file where it is made
  // Elements; of a dict keys and values in turn; of a dtype its code and byte order; of an ndarray
  // shape, dtype, whether Fortran's order, and data.
  std::vector<size_t> items;
};

struct Pickle {
  std::vector<Pickled> values;
  size_t root = 0;
};

// `bytes` from `begin` is one pickle, to its end. Throws gamut::Error with the byte for anything
// but the opcodes and the three NumPy names of such dictionaries.
Pickle unpickle(std::string_view bytes, size_t begin);

}  // namespace gamut::dac
