// Plain values of a pickle as JSON.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/torch_file/pickle.h"

namespace gamut::checkpoint::torch_file {

// Turns values into text within a budget for each and for all of them: a few bytes of pickle can
// stand for a value without end.
class PlainJson {
 public:
  explicit PlainJson(const Pickle& pickle) : pickle_(pickle) {}

  // A string as it is, all else as JSON. Nothing for a value that holds a tensor, a key that is
  // neither string nor integer, text that is not UTF-8, more levels than JSON readers take, or
  // more than is left of the budget.
  std::optional<std::string> text(Ref ref);

 private:
  const Pickle& pickle_;
  size_t budget_ = size_t{64} << 20;  // bytes of text, about; one value gets a 16th
};

}  // namespace gamut::checkpoint::torch_file
