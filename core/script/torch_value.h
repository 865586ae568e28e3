// Lua values as those of a file of torch.save, and back.
//
// Python's kinds that Lua lacks are told by a table's metatable: its field `kind` is "dict",
// "ordered_dict", "list", "tuple" or "text" (a text that is an object of its own), `keys` has a
// dictionary's keys in order, `attributes` those of an OrderedDict. A table without one is a list
// where it has keys 1..n (n > 0), else a dictionary with its keys in order of their names. None is
// gamut.json.null.
#pragma once

#include <string>

#include "checkpoint/torch_file/torch_file.h"
#include "checkpoint/torch_file/value.h"
#include "script/lua.h"

namespace gamut::script {

// `path` is what messages call the value: "value" gives "value.scales[2]". Throws gamut::Error for
// what the file cannot hold, such as functions, texts that are not UTF-8 and cycles.
checkpoint::torch_file::ValuePtr torch_value_from_lua(lua_State* L, int index,
                                                      const std::string& path);

// Pushes all that the file holds: dictionaries by key and with their order, tensors as views of it.
// What is shared in the file is one table or tensor. Throws gamut::Error for nesting deeper than
// Python's pickler allows and for keys that no literal of Lua could look up again.
void push_torch_file(lua_State* L, checkpoint::torch_file::TorchFile& file,
                     const std::string& path);

}  // namespace gamut::script
