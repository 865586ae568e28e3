// The operators behind <gamut/weights_file.h>: plugins read safetensors files with the program's
// own reader.
#pragma once

namespace gamut::checkpoint {

// Links the operators into the program; they register themselves before main.
void link_operators();

}  // namespace gamut::checkpoint
