// The pickle of torch.save, byte for byte: protocol 2 as CPython's C pickler writes it, tensors by
// reference to their storages.
#pragma once

#include <c10/core/Storage.h>

#include <string>
#include <vector>

#include "checkpoint/torch_file/value.h"

namespace gamut::checkpoint::torch_file {

struct WrittenPickle {
  std::string bytes;
  // Those that the tensors are in, each once: number i is the archive's entry `data/<i>`.
  std::vector<c10::Storage> storages;
};

// `location` is the device that the file says its tensors were on ("cpu", "cuda:0"); empty: the one
// they are on. Throws gamut::Error for what torch.save refuses too (nesting deeper than 1000, two
// dtypes over one storage) and for tensors that are not dense or of a dtype that has no storage
// type (complex, 8-bit floats, unsigned of more than 8 bits).
WrittenPickle write_pickle(const Value& value, const std::string& location);

}  // namespace gamut::checkpoint::torch_file
