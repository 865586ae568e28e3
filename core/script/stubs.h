// Editor stubs for the Lua language server, from the schemas that calls are checked against.
#pragma once

#include <string>

namespace gamut::script {

// All public operators of LibTorch as functions of `gamut` and methods of `Tensor`. The text is a
// Lua chunk that returns both tables.
std::string operator_stubs();

// The options of every plugin on the search path, as classes `gamut.options.<kind>.<name>`.
std::string plugin_stubs();

}  // namespace gamut::script
