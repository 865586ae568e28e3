// Any bytes as a codes shard: either a gamut::Error, or every item and every code can be read.
#include <gamut/error.h>

#include <cstring>

#include "data/codes/shard.h"
#include "support.h"

namespace {

using namespace gamut::data;
using gamut::fuzz::require;

void read_all(const uint8_t* bytes, size_t size) {
  const CodesView view = parse_codes(bytes, size, "input");
  const int64_t width = view.description.codebooks;
  require(static_cast<int64_t>(view.lines.size()) == view.items && width >= 1);
  uint64_t sum = 0;
  for (int64_t i = 0; i < view.items; ++i) {
    require(view.offsets[i] <= view.offsets[i + 1] && view.offsets[i + 1] <= view.frames);
    sum += view.lines[static_cast<size_t>(i)].size();
  }
  for (int64_t i = 0; i < view.frames * width; ++i) sum += view.codes[i];
  require(sum < UINT64_MAX);
  verify_codes(view, "input");
  options_from_json(view.description.tokenizer.options, "input");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Aligned as a mapped file is, and in a block of just its size: no read beyond it is missed.
  auto* bytes = static_cast<uint8_t*>(std::malloc(size));
  if (size > 0) std::memcpy(bytes, data, size);
  try {
    read_all(bytes, size);
  } catch (const gamut::Error& error) {
    require(error.what()[0] != 0);
  }
  std::free(bytes);
  return 0;
}
