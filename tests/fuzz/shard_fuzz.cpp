// Any bytes as a token shard: it is refused with a gamut::Error, or every token can be read.
#include <gamut/error.h>

#include <vector>

#include "data/batches.h"
#include "data/token_set.h"
#include "support.h"

namespace {

// Everything that opening and reading a shard does, with ids above 300 outside of the vocabulary.
void read_all(const std::string& path) {
  const auto set =
      std::make_shared<gamut::data::TokenSet>(std::vector<std::filesystem::path>{path, path}, 300);
  set->fingerprint();
  std::vector<int64_t> ids(static_cast<size_t>(set->size()) + 3);
  set->read(set->size() / 3, static_cast<int64_t>(ids.size()), ids.data());
  set->verify();
  for (const int64_t id : ids) {
    gamut::fuzz::require(id >= 0 && id < 300);
  }
  gamut::data::BatchSource(set, {2, 3, true, 1}).at(7);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const gamut::fuzz::MemoryFile file(data, size);
  try {
    read_all(file.path());
  } catch (const gamut::Error&) {
    // Refused in words.
  }
  return 0;
}
