// Which dictionary of a checkpoint holds the model's tensors, and what else in it is worth keeping.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/torch_file/pickle.h"

namespace gamut::checkpoint::torch_file {

struct StateDict {
  std::string key;  // of the dictionary, "/" between levels; empty: the top one
  // In the dictionary's order.
  std::vector<std::pair<std::string, Ref>> tensors;
  // Plain values beside the tensors and beside the dictionaries that lead to them: strings as they
  // are, all else as JSON. What a dictionary named `metadata` holds is taken out of it. NaN and
  // infinities are {"$number": "nan" | "inf" | "-inf"}.
  std::map<std::string, std::string> metadata;
  size_t left_out = 0;                     // everything else
  std::vector<std::string> left_out_keys;  // of the first hundred of them
};

// With an empty `key`: the top dictionary if it holds tensors, else the one nearest to the top that
// does, where several are equally near the one named state_dict, model_state_dict or model. Throws
// gamut::Error, with the keys there are, if that or `key` does not say which.
StateDict find_state_dict(const Pickle& pickle, const std::string& key, const std::string& path);

}  // namespace gamut::checkpoint::torch_file
