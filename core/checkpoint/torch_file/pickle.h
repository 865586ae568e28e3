// The values of a pickle that Python's torch.save wrote, read without running anything.
//
// A pickle is a program for a small stack machine that may call any function of Python. This one
// knows the instructions that a state dict consists of, and of Python's functions those few that
// make one; the rest is refused by its name and byte. The result is plain data in one arena, with
// indices for pointers: values that are shared cost nothing, and cycles do no harm.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace gamut::checkpoint::torch_file {

// Larger pickles are refused. A tensor takes about 250 bytes and 20 values, so this is room for
// 200,000 of them, in some hundred MB of memory.
constexpr size_t kMaxPickleBytes = size_t{64} << 20;
constexpr size_t kMaxPickleValues = size_t{4} << 20;
constexpr size_t kMaxPickleDepth = 1000;  // Python's own limit for what it writes
// LibTorch's operators take no more.
constexpr size_t kMaxTensorDimensions = 64;

// A value of a pickle: an index into Pickle::values.
enum class Ref : uint32_t {};

struct PickleNone {};
struct PickleList {
  std::vector<Ref> items;
};
struct PickleTuple {
  std::vector<Ref> items;
};
struct PickleDict {
  std::vector<std::pair<Ref, Ref>> items;  // keys and values in order; no string is a key twice
  bool is_ordered = false;                 // a collections.OrderedDict
  std::optional<Ref> attributes;           // a dictionary of what was set on it, `_metadata` mostly
};
// The numbers of the archive's entry `data/<key>`.
struct PickleStorage {
  std::string_view key;
  int64_t elements = 0;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
};
// A strided view of a storage, checked not to leave it. In elements.
struct PickleTensor {
  Ref storage{};
  Ref sizes{};    // a tuple of integers, none negative, the product fits 64 bits
  Ref strides{};  // as many, none negative
  int64_t offset = 0;
};
// What the pickle may call; `call` indexes the table in pickle_calls.cpp.
struct PickleGlobal {
  uint32_t call = 0;
};

// Strings are views of the pickle's bytes.
using PickleValue =
    std::variant<PickleNone, bool, int64_t, double, std::string_view, PickleList, PickleTuple,
                 PickleDict, PickleStorage, PickleTensor, PickleGlobal>;

struct Pickle {
  std::vector<PickleValue> values;
  Ref root{};

  const PickleValue& operator[](Ref ref) const { return values[static_cast<size_t>(ref)]; }
  PickleValue& operator[](Ref ref) { return values[static_cast<size_t>(ref)]; }
  // The value as a Kind, or null if it is another.
  template <class Kind>
  const Kind* get(Ref ref) const {
    return std::get_if<Kind>(&(*this)[ref]);
  }
  // The numbers of a tuple of integers.
  std::vector<int64_t> integers(Ref tuple) const;
  int64_t elements(const PickleTensor& tensor) const;
};

// "a list", "a tensor": for messages.
const char* kind_of(const PickleValue& value);

// Reads a pickle of protocol 2, the one torch.save writes. `bytes` must outlive the result; `where`
// begins the messages. Throws gamut::Error that says at which byte what is not allowed.
Pickle read_pickle(std::string_view bytes, const std::string& where);

}  // namespace gamut::checkpoint::torch_file
