// The functions of Python that a pickle of a state dict calls, and what calling one gives.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "checkpoint/torch_file/pickle.h"

namespace gamut::checkpoint::torch_file {

// What is wrong at a byte of a pickle; read_pickle adds the file's name.
class PickleFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The value for `module.name`. Throws PickleFault for a function or class that is not known, with
// what to do about the usual ones. `is_root`: it is the first thing in the pickle.
PickleGlobal find_global(std::string_view module, std::string_view name, bool is_root);

// What the call of a known function gives; does nothing but compute it.
PickleValue call_global(const Pickle& pickle, const PickleGlobal& global, Ref arguments);

// The class of torch that stands for a storage of that dtype; null: there is none that is known.
const char* storage_type_of(c10::ScalarType dtype);

// The storage that a persistent id stands for: ("storage", type, key, location, elements).
PickleStorage storage_of(const Pickle& pickle, Ref id);

}  // namespace gamut::checkpoint::torch_file
