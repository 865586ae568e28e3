// From a checkpoint of torch.save to a safetensors file.
#pragma once

#include <c10/core/ScalarType.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gamut::checkpoint::torch_file {

struct ConvertOptions {
  std::string key;     // the dictionary to take, "/" between levels; empty: find_state_dict chooses
  std::string prefix;  // takes only the tensors whose names begin so, and cuts it off
  // What tensors of floating point become; none: they stay as they are.
  std::optional<c10::ScalarType> dtype;
  bool force = false;  // replaces a file that is there
};

// What was written and what was not, for people.
struct Converted {
  std::string key;                       // of the dictionary that was taken; empty: the top one
  size_t tensors = 0;                    // written
  size_t other_tensors = 0;              // without the prefix
  uint64_t bytes = 0;                    // of the whole file
  std::map<std::string, size_t> dtypes;  // the format's names, and how many tensors are of each
  std::vector<std::string> metadata;     // keys, as find_state_dict gives them, and `format` = "pt"
  size_t left_out = 0;                   // values of the checkpoint that went nowhere
  std::vector<std::string> left_out_keys;
};

// Reads `from`, writes `to` as a whole or not at all. Tensors that are strided or share storage
// become contiguous ones of their own. Throws gamut::Error; what stood at `to` is then untouched.
Converted convert(const std::filesystem::path& from, const std::filesystem::path& to,
                  const ConvertOptions& options = {});

}  // namespace gamut::checkpoint::torch_file
