// The stack machine: docs of Python's module `pickletools`, protocol 2.
#include "checkpoint/torch_file/pickle.h"

#include <gamut/error.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <unordered_set>

#include "checkpoint/torch_file/pickle_calls.h"
#include "checkpoint/torch_file/pickle_opcodes.h"

namespace gamut::checkpoint::torch_file {
namespace {

constexpr Ref kNothing{std::numeric_limits<uint32_t>::max()};

class Machine {
 public:
  Machine(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  Pickle run() {
    check(bytes_.size() <= kMaxPickleBytes, "it has ", bytes_.size(), " bytes; at most ",
          kMaxPickleBytes, " are read");
    try {
      while (step()) {
      }
      check_keys();
    } catch (const PickleFault& fault) {
      refuse(fault.what());
    }
    return std::move(pickle_);
  }

 private:
  // --- Errors ---------------------------------------------------------------------------------

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... what) const {
    throw Error(c10::str(where_, " at byte ", opcode_at_, ": ", what...));
  }
  template <class... Parts>
  void check(bool condition, const Parts&... what) const {
    if (!condition) refuse(what...);
  }

  // --- Bytes ----------------------------------------------------------------------------------

  std::string_view take(size_t size) {
    check(size <= bytes_.size() - at_, "it is truncated: ", size, " bytes are needed and ",
          bytes_.size() - at_, " are left");
    const std::string_view taken = bytes_.substr(at_, size);
    at_ += size;
    return taken;
  }
  template <class Number>
  Number number() {
    Number value{};
    const std::string_view bytes = take(sizeof value);
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(&value));
    return value;
  }
  std::string_view line() {
    const size_t end = bytes_.find('\n', at_);
    check(end != std::string_view::npos, "it is truncated in a name");
    const std::string_view text = take(end - at_);
    take(1);
    return text;
  }
  // Two's complement, lowest byte first, as many bytes as needed.
  int64_t long_integer() {
    const std::string_view digits = take(number<uint8_t>());
    check(digits.size() <= 8, "it has an integer of ", digits.size(),
          " bytes; more than 8 are not read");
    uint64_t value = 0;
    std::memcpy(&value, digits.data(), digits.size());
    const size_t unused = 64 - 8 * digits.size();
    // The shifts copy the sign into the bytes that are not there.
    return digits.empty() ? 0 : static_cast<int64_t>(value << unused) >> unused;
  }
  double big_endian_double() {
    const uint64_t bits = __builtin_bswap64(number<uint64_t>());
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  // --- The stack ------------------------------------------------------------------------------

  bool push(PickleValue value) {
    check(pickle_.values.size() < kMaxPickleValues, "it has more than ", kMaxPickleValues,
          " values");
    stack_.push_back(static_cast<Ref>(pickle_.values.size()));
    pickle_.values.push_back(std::move(value));
    return true;
  }
  // Nothing below the last mark may be taken.
  Ref top() const {
    check(stack_.size() > (marks_.empty() ? 0 : marks_.back()),
          "it takes a value from an empty stack");
    return stack_.back();
  }
  Ref pop() {
    const Ref ref = top();
    stack_.pop_back();
    return ref;
  }
  std::vector<Ref> pop_to_mark() {
    check(!marks_.empty(), "it takes values up to a mark, and there is none");
    const auto begin = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
    std::vector<Ref> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  // The container that values go to; it stays on the stack.
  template <class Container>
  Container& target(const char* name) {
    auto* container = std::get_if<Container>(&pickle_[top()]);
    check(container, "it adds to ", kind_of(pickle_[top()]), " as if that were ", name);
    return *container;
  }

  // --- Instructions ---------------------------------------------------------------------------

  bool protocol() {
    const int version = number<uint8_t>();
    check(version == 2, "it is of pickle protocol ", version,
          "; save it with the one that torch.save takes by itself, 2");
    return true;
  }
  bool mark() {
    check(marks_.size() < kMaxPickleDepth, "it is nested deeper than ", kMaxPickleDepth, " levels");
    marks_.push_back(stack_.size());
    return true;
  }
  bool tuple(size_t count) {
    std::vector<Ref> items(count);
    for (size_t i = count; i > 0; --i) items[i - 1] = pop();
    return push(PickleTuple{std::move(items)});
  }
  bool put(uint32_t slot) {
    check(slot < kMaxPickleValues, "its memo has more than ", kMaxPickleValues, " values");
    if (slot >= memo_.size()) memo_.resize(slot + size_t{1}, kNothing);
    memo_[slot] = top();
    return true;
  }
  bool get(uint32_t slot) {
    check(slot < memo_.size() && memo_[slot] != kNothing, "it asks for value ", slot,
          " of its memo, and there is none");
    stack_.push_back(memo_[slot]);
    return true;
  }
  bool append(const std::vector<Ref>& items) {
    auto& list = target<PickleList>("a list").items;
    list.insert(list.end(), items.begin(), items.end());
    return true;
  }
  bool set_items(const std::vector<Ref>& items) {
    check(items.size() % 2 == 0, "a dictionary gets a key without a value");
    auto& dict = target<PickleDict>("a dictionary").items;
    for (size_t i = 0; i < items.size(); i += 2) dict.emplace_back(items[i], items[i + 1]);
    return true;
  }
  bool global() {
    const std::string_view module = line();
    const std::string_view name = line();
    // Behind PROTO and its number.
    return push(find_global(module, name, opcode_at_ <= 2));
  }
  bool reduce() {
    const Ref arguments = pop();
    const Ref function = pop();
    const auto* global = pickle_.get<PickleGlobal>(function);
    check(global, "it calls ", kind_of(pickle_[function]));
    return push(call_global(pickle_, *global, arguments));
  }
  // Attributes of an object. A state dict has `_metadata`, versions of modules.
  bool build() {
    const Ref attributes = pop();
    auto* object = std::get_if<PickleDict>(&pickle_[top()]);
    check(pickle_.get<PickleDict>(attributes) && object, "it sets ", kind_of(pickle_[attributes]),
          " as attributes of ", kind_of(pickle_[top()]), "; only dictionaries have any");
    object->attributes = attributes;
    return true;
  }
  bool stop() {
    pickle_.root = pop();
    check(stack_.empty() && marks_.empty(), "it ends with more than one value");
    check(at_ == bytes_.size(), bytes_.size() - at_, " bytes follow its end");
    return false;
  }

  bool step() {
    opcode_at_ = at_;
    const auto code = number<uint8_t>();
    switch (static_cast<Opcode>(code)) {
      case Opcode::proto:
        return protocol();
      case Opcode::stop:
        return stop();
      case Opcode::mark:
        return mark();
      case Opcode::empty_dict:
        return push(PickleDict{});
      case Opcode::empty_list:
        return push(PickleList{});
      case Opcode::empty_tuple:
        return push(PickleTuple{});
      case Opcode::tuple:
        return push(PickleTuple{pop_to_mark()});
      case Opcode::tuple1:
        return tuple(1);
      case Opcode::tuple2:
        return tuple(2);
      case Opcode::tuple3:
        return tuple(3);
      case Opcode::none:
        return push(PickleNone{});
      case Opcode::new_true:
        return push(true);
      case Opcode::new_false:
        return push(false);
      case Opcode::binint:
        return push(int64_t{number<int32_t>()});
      case Opcode::binint1:
        return push(int64_t{number<uint8_t>()});
      case Opcode::binint2:
        return push(int64_t{number<uint16_t>()});
      case Opcode::long1:
        return push(long_integer());
      case Opcode::binfloat:
        return push(big_endian_double());
      case Opcode::binunicode:
        return push(take(number<uint32_t>()));
      case Opcode::binput:
        return put(number<uint8_t>());
      case Opcode::long_binput:
        return put(number<uint32_t>());
      case Opcode::binget:
        return get(number<uint8_t>());
      case Opcode::long_binget:
        return get(number<uint32_t>());
      case Opcode::append:
        return append({pop()});
      case Opcode::appends:
        return append(pop_to_mark());
      case Opcode::setitem: {
        const Ref value = pop();
        const Ref key = pop();
        return set_items({key, value});
      }
      case Opcode::setitems:
        return set_items(pop_to_mark());
      case Opcode::global:
        return global();
      case Opcode::binpersid:
        return push(storage_of(pickle_, pop()));
      case Opcode::reduce:
        return reduce();
      case Opcode::build:
        return build();
    }
    refuse_opcode(code);
  }

  [[noreturn]] void refuse_opcode(uint8_t code) const {
    for (const auto& refused : kRefusedOpcodes) {
      if (refused.code == code) {
        refuse("the instruction ", refused.name, " has no place in a state dict");
      }
    }
    refuse("there is no pickle instruction ", static_cast<int>(code));
  }

  // Python would keep the last of two equal keys; a file that has them was not made by torch.save.
  void check_keys() const {
    for (const auto& value : pickle_.values) {
      const auto* dict = std::get_if<PickleDict>(&value);
      if (!dict) continue;
      std::unordered_set<std::string_view> keys;
      for (const auto& [key, unused] : dict->items) {
        const auto* text = pickle_.get<std::string_view>(key);
        check(!text || keys.insert(*text).second, "a dictionary has the key `", text ? *text : "",
              "` twice");
      }
    }
  }

  std::string_view bytes_;
  const std::string& where_;
  size_t at_ = 0;
  size_t opcode_at_ = 0;
  Pickle pickle_;
  std::vector<Ref> stack_;
  std::vector<size_t> marks_;
  std::vector<Ref> memo_;  // by slot; kNothing where none was put
};

}  // namespace

std::vector<int64_t> Pickle::integers(Ref tuple) const {
  std::vector<int64_t> numbers;
  for (const Ref item : std::get<PickleTuple>((*this)[tuple]).items) {
    numbers.push_back(std::get<int64_t>((*this)[item]));
  }
  return numbers;
}

int64_t Pickle::elements(const PickleTensor& tensor) const {
  int64_t product = 1;
  for (const int64_t size : integers(tensor.sizes)) product *= size;
  return product;
}

const char* kind_of(const PickleValue& value) {
  constexpr const char* kNames[] = {"nothing (None)", "true or false", "an integer", "a number",
                                    "a string",       "a list",        "a tuple",    "a dictionary",
                                    "a storage",      "a tensor",      "a function"};
  static_assert(std::size(kNames) == std::variant_size_v<PickleValue>);
  return kNames[value.index()];
}

Pickle read_pickle(std::string_view bytes, const std::string& where) {
  return Machine(bytes, where).run();
}

}  // namespace gamut::checkpoint::torch_file
