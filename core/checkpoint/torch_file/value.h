// What a file of torch.save holds, as the writer takes it: plain data and tensors, nested.
//
// Python's pickler writes an object once and refers back to it after that, by identity and not by
// value. Here identity is the pointer, but for texts: equal ones are one object, as literals are in
// Python, unless they are marked as made anew.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace gamut::checkpoint::torch_file {

struct Value;
using ValuePtr = std::shared_ptr<const Value>;

struct None {};
struct Text {
  std::string text;          // UTF-8
  bool is_distinct = false;  // an object of its own, though others may be equal
};
struct List {
  std::vector<ValuePtr> items;
};
struct Tuple {
  std::vector<ValuePtr> items;
};
struct Dict {
  std::vector<std::pair<ValuePtr, ValuePtr>> items;  // in this order; no key twice
  bool is_ordered = false;                           // a collections.OrderedDict
  ValuePtr attributes;  // a Dict that becomes the OrderedDict's __dict__; null: none
};

// Never part of itself.
struct Value {
  std::variant<None, bool, int64_t, double, Text, List, Tuple, Dict, at::Tensor> data;
};

}  // namespace gamut::checkpoint::torch_file
