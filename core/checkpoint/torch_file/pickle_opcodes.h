// The instructions of Python's pickles, protocols 0 to 5, as Python's module `pickletools` has
// them.
#pragma once

#include <cstdint>

namespace gamut::checkpoint::torch_file {

// Those that torch.save needs for dictionaries of tensors and plain values.
enum class Opcode : uint8_t {
  proto = 0x80,
  stop = '.',
  mark = '(',
  empty_dict = '}',
  empty_list = ']',
  empty_tuple = ')',
  tuple = 't',
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  none = 'N',
  new_true = 0x88,
  new_false = 0x89,
  binint = 'J',
  binint1 = 'K',
  binint2 = 'M',
  long1 = 0x8a,
  binfloat = 'G',
  binunicode = 'X',
  binput = 'q',
  long_binput = 'r',
  binget = 'h',
  long_binget = 'j',
  append = 'a',
  appends = 'e',
  setitem = 's',
  setitems = 'u',
  global = 'c',
  binpersid = 'Q',
  reduce = 'R',
  build = 'b',
};

struct OpcodeName {
  uint8_t code;
  const char* name;
};

// The others, for messages.
constexpr OpcodeName kRefusedOpcodes[] = {
    {'I', "INT"},
    {'L', "LONG"},
    {0x8b, "LONG4"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {0x8e, "BINBYTES8"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
    {'V', "UNICODE"},
    {0x8d, "BINUNICODE8"},
    {0x8c, "SHORT_BINUNICODE"},
    {'F', "FLOAT"},
    {'l', "LIST"},
    {'d', "DICT"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {'0', "POP"},
    {'2', "DUP"},
    {'1', "POP_MARK"},
    {'g', "GET"},
    {'p', "PUT"},
    {0x94, "MEMOIZE"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x93, "STACK_GLOBAL"},
    {'i', "INST"},
    {'o', "OBJ"},
    {0x81, "NEWOBJ"},
    {0x92, "NEWOBJ_EX"},
    {0x95, "FRAME"},
    {'P', "PERSID"},
};

}  // namespace gamut::checkpoint::torch_file
