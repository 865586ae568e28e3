// The machine of Python's pickletools, without the parts that can do anything.
#include "unpickle.h"

#include <gamut/error.h>

#include <cstring>
#include <string>

namespace gamut::dac {
namespace {

using Kind = Pickled::Kind;

// A .dac file makes about 60 values; a file of one-byte opcodes may not make millions.
constexpr size_t kMaxValues = 4096;

class Machine {
 public:
  Machine(std::string_view bytes, size_t begin) : bytes_(bytes), at_(begin) {}

  Pickle run() {
    while (step()) {
    }
    require(at_ == bytes_.size(), "bytes follow the end of the pickle");
    require(stack_.size() == 1 && marks_.empty(), "the pickle ends with an unfinished value");
    return {std::move(values_), stack_[0]};
  }

 private:
  void require(bool condition, const char* what) const {
    GAMUT_CHECK(condition, "not a .dac file that can be read: at byte ", opcode_at_, ", ", what);
  }

  // --- the bytes

  std::string_view take(size_t count) {
    require(count <= bytes_.size() - at_, "the file is cut short");
    const auto taken = bytes_.substr(at_, count);
    at_ += count;
    return taken;
  }
  // Little-endian and unsigned.
  uint64_t take_number(size_t count) {
    uint64_t number = 0;
    const auto taken = take(count);
    for (size_t i = 0; i < count; ++i) {
      number |= static_cast<uint64_t>(static_cast<uint8_t>(taken[i])) << (8 * i);
    }
    return number;
  }
  std::string_view take_line() {
    const size_t end = bytes_.find('\n', at_);
    require(end != std::string_view::npos, "a name has no end");
    const auto line = take(end - at_);
    ++at_;
    return line;
  }

  // --- the stack

  size_t make(Kind kind) {
    require(values_.size() < kMaxValues, "there are more values than such a file has");
    values_.emplace_back();
    values_.back().kind = kind;
    values_.back().at = opcode_at_;
    return values_.size() - 1;
  }
  Pickled& push(Kind kind) {
    stack_.push_back(make(kind));
    return values_.back();
  }
  size_t pop() {
    const size_t bottom = marks_.empty() ? 0 : marks_.back();
    require(stack_.size() > bottom, "a value is taken where there is none");
    const size_t value = stack_.back();
    stack_.pop_back();
    return value;
  }
  std::vector<size_t> pop_to_mark() {
    require(!marks_.empty(), "a mark is taken where there is none");
    std::vector<size_t> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()),
                              stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  Pickled& top(Kind kind, const char* what) {
    const size_t value = pop();
    stack_.push_back(value);
    require(values_[value].kind == kind, what);
    return values_[value];
  }
  void push_number(int64_t number) { push(Kind::integer).number = number; }
  void push_text(Kind kind, size_t length_bytes) {
    const auto length = static_cast<size_t>(take_number(length_bytes));
    push(kind).text = take(length);
  }
  void push_tuple(size_t count) {
    std::vector<size_t> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push(Kind::tuple).items = std::move(items);
  }

  // --- the memo

  void remember(size_t place) {
    const size_t value = pop();
    stack_.push_back(value);
    require(place < kMaxValues, "a memo is numbered beyond what such a file has");
    if (memo_.size() <= place) memo_.resize(place + 1, kNothing);
    memo_[place] = value;
    ++memo_count_;
  }
  void recall(uint64_t place) {
    require(place < memo_.size() && memo_[place] != kNothing, "a memo is read that was not made");
    stack_.push_back(memo_[place]);
    require(stack_.size() <= kMaxValues, "there are more values than such a file has");
  }

  // --- what the opcodes do

  void push_global(std::string_view module, std::string_view name) {
    const bool numpy = module == "numpy" && (name == "ndarray" || name == "dtype");
    const bool reconstruct =
        (module == "numpy.core.multiarray" || module == "numpy._core.multiarray") &&
        name == "_reconstruct";
    GAMUT_CHECK(numpy || reconstruct, "not a .dac file that can be read: at byte ", opcode_at_,
                ", it asks for `", std::string(module.substr(0, 80)), ".",
                std::string(name.substr(0, 80)), "`, which such files do not have");
    push(Kind::global).text = name;
  }
  void push_stack_global() {
    const Pickled name = values_[pop()], module = values_[pop()];
    require(name.kind == Kind::text && module.kind == Kind::text, "a global's name is no text");
    push_global(module.text, name.text);
  }

  // _reconstruct(ndarray, (0,), b"b") makes an array to be filled, dtype(code, False, True) a type.
  void reduce() {
    const std::vector<size_t> arguments = values_[pop()].items;
    const Pickled function = values_[pop()];
    require(function.kind == Kind::global && arguments.size() == 3,
            "something is called that such files do not call");
    const Pickled& first = values_[arguments[0]];
    if (function.text == "_reconstruct") {
      require(first.kind == Kind::global && first.text == "ndarray",
              "an array is of another class");
      push(Kind::object).text = "ndarray";
      return;
    }
    require(function.text == "dtype" && first.kind == Kind::text,
            "something is called that such files do not call");
    Pickled& dtype = push(Kind::object);
    dtype.text = "dtype";
    dtype.items = {arguments[0]};
  }

  // Fills an object: (1, shape, dtype, fortran, data) or (3, byte order, ...).
  void build() {
    const size_t at = pop();
    const std::vector<size_t> state = values_[at].items;
    Pickled& object = top(Kind::object, "a state is given to what has none");
    require(values_[at].kind == Kind::tuple, "a state is no tuple");
    if (object.text == "ndarray") {
      require(state.size() == 5 && object.items.empty(), "an array's state is of another form");
      object.items.assign(state.begin() + 1, state.end());
    } else {
      require(state.size() == 8 && object.items.size() == 1, "a dtype's state is of another form");
      object.items.push_back(state[1]);
    }
  }

  void extend(Kind kind, std::vector<size_t> added) {
    Pickled& container = top(kind, "something is put into what is no container");
    require(kind != Kind::dict || added.size() % 2 == 0, "a key has no value");
    require(container.items.size() + added.size() <= kMaxValues,
            "there are more values than such a file has");
    container.items.insert(container.items.end(), added.begin(), added.end());
  }
  void set_item() {
    const size_t value = pop(), key = pop();
    extend(Kind::dict, {key, value});
  }

  void push_long() {  // LONG1, two's complement
    const auto count = static_cast<size_t>(take_number(1));
    require(count <= 8, "an integer has more than 64 bits");
    uint64_t number = take_number(count);
    if (count > 0 && count < 8 && ((number >> (8 * count - 1)) & 1)) number |= ~0ull << (8 * count);
    push_number(static_cast<int64_t>(number));
  }
  void push_real() {  // BINFLOAT, big-endian
    uint64_t bits = 0;
    for (const char c : take(8)) bits = bits << 8 | static_cast<uint8_t>(c);
    std::memcpy(&push(Kind::real).real, &bits, 8);
  }

  bool step();
  bool constant(uint8_t opcode);
  bool container(uint8_t opcode);

  static constexpr size_t kNothing = ~size_t{0};
  std::string_view bytes_;
  size_t at_;
  size_t opcode_at_ = 0;
  std::vector<Pickled> values_;
  std::vector<size_t> stack_, marks_, memo_;
  size_t memo_count_ = 0;  // MEMOIZE numbers its memos one after another
};

// Opcodes that push a value of their own. False: it is none of them.
bool Machine::constant(uint8_t opcode) {
  switch (opcode) {
    case 'N':
      push(Kind::none);
      return true;
    case 0x88:
      push(Kind::boolean).number = 1;
      return true;
    case 0x89:
      push(Kind::boolean);
      return true;
    case 'K':
      push_number(static_cast<int64_t>(take_number(1)));
      return true;
    case 'M':
      push_number(static_cast<int64_t>(take_number(2)));
      return true;
    case 'J':
      push_number(static_cast<int32_t>(take_number(4)));
      return true;
    case 0x8a:
      push_long();
      return true;
    case 'G':
      push_real();
      return true;
    case 0x8c:
      push_text(Kind::text, 1);
      return true;  // SHORT_BINUNICODE
    case 'X':
      push_text(Kind::text, 4);
      return true;  // BINUNICODE
    case 'C':
      push_text(Kind::bytes, 1);
      return true;  // SHORT_BINBYTES
    case 'B':
      push_text(Kind::bytes, 4);
      return true;  // BINBYTES
    case 0x8e:
      push_text(Kind::bytes, 8);
      return true;  // BINBYTES8
    default:
      return false;
  }
}

bool Machine::container(uint8_t opcode) {
  switch (opcode) {
    case ')':
      push_tuple(0);
      return true;
    case 0x85:
      push_tuple(1);
      return true;
    case 0x86:
      push_tuple(2);
      return true;
    case 0x87:
      push_tuple(3);
      return true;
    case '(':
      marks_.push_back(stack_.size());
      return true;
    case 't': {
      auto items = pop_to_mark();
      push(Kind::tuple).items = std::move(items);
      return true;
    }
    case ']':
      push(Kind::list);
      return true;
    case '}':
      push(Kind::dict);
      return true;
    case 'a':
      extend(Kind::list, {pop()});
      return true;
    case 'e':
      extend(Kind::list, pop_to_mark());
      return true;
    case 's':
      set_item();
      return true;
    case 'u':
      extend(Kind::dict, pop_to_mark());
      return true;
    default:
      return false;
  }
}

// False: the pickle has ended.
bool Machine::step() {
  opcode_at_ = at_;
  const auto opcode = static_cast<uint8_t>(take(1)[0]);
  if (opcode == '.') return false;
  if (constant(opcode) || container(opcode)) {
    require(marks_.size() <= kMaxValues, "there are more marks than such a file has");
    return true;
  }
  switch (opcode) {
    case 0x80:
      require(take_number(1) <= 4, "the pickle is of another protocol than 2 to 4");
      break;
    case 0x95:
      take(8);
      break;  // FRAME: how much to read at once
    case 0x94:
      remember(memo_count_);
      break;
    case 'q':
      remember(static_cast<size_t>(take_number(1)));
      break;
    case 'r':
      remember(static_cast<size_t>(take_number(4)));
      break;
    case 'h':
      recall(take_number(1));
      break;
    case 'j':
      recall(take_number(4));
      break;
    case 0x93:
      push_stack_global();
      break;
    case 'c': {
      const auto module = take_line();
      push_global(module, take_line());
      break;
    }
    case 'R':
      reduce();
      break;
    case 'b':
      build();
      break;
    default:
      throw Error(c10::str("not a .dac file that can be read: at byte ", opcode_at_,
                           ", the pickle has the opcode ", static_cast<int>(opcode),
                           ", which such files do not have"));
  }
  return true;
}

}  // namespace

Pickle unpickle(std::string_view bytes, size_t begin) {
  return Machine(bytes, begin).run();
}

}  // namespace gamut::dac
