// torch.save: nested plain values and tensors to a file that Python's torch.load reads, equal byte
// for byte to what Python writes of the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "checkpoint/torch_file/value.h"

namespace gamut::checkpoint::torch_file {

struct SaveOptions {
  // The device that the file says its tensors were on, such as "cpu" or "cuda:0", where torch.load
  // puts them without a map_location; empty: the one they are on.
  std::string location;
};

// Writes the file as a whole or not at all; its bytes. Throws gamut::Error, as write_pickle does
// and for every failure of the system; what stood at `path` is then untouched.
uint64_t save(const Value& value, const std::filesystem::path& path,
              const SaveOptions& options = {});

// The same bytes as torch.save writes to a buffer, where the archive's folder has no file's name.
std::string save_to_bytes(const Value& value, const SaveOptions& options = {});

}  // namespace gamut::checkpoint::torch_file
