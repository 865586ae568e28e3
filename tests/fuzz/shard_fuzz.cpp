// Any bytes as a token shard: it is refused with a gamut::Error, or every token can be read.
#include <gamut/error.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "data/batches.h"
#include "data/token_set.h"

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
    if (id < 0 || id >= 300) std::abort();
  }
  gamut::data::BatchSource(set, {2, 3, true, 1}).at(7);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int descriptor = memfd_create("shard", MFD_CLOEXEC);
  if (descriptor < 0 || write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    read_all("/proc/self/fd/" + std::to_string(descriptor));
  } catch (const gamut::Error&) {
    // Refused in words.
  }
  close(descriptor);
  return 0;
}
