// One histogram a codebook.
#include "data/codes/use.h"

#include <cmath>

namespace gamut::data {
namespace {

CodebookUse use_of(const std::vector<int64_t>& counts, int64_t frames) {
  CodebookUse use;
  for (const int64_t count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / static_cast<double>(frames);
    use.distinct += 1;
    use.bits -= share * std::log2(share);
  }
  return use;
}

}  // namespace

std::vector<CodebookUse> codebook_use(const CodeSet& set) {
  const auto width = static_cast<size_t>(set.description().codebooks);
  const auto size = static_cast<size_t>(set.description().vocab_size);
  std::vector<std::vector<int64_t>> counts(width, std::vector<int64_t>(size));
  for (const auto& shard : set.shards()) {
    shard->check_codes(0, shard->frames());
    const uint16_t* code = shard->codes();
    for (int64_t t = 0; t < shard->frames(); ++t) {
      for (size_t k = 0; k < width; ++k) ++counts[k][*code++];
    }
  }
  std::vector<CodebookUse> uses;
  for (const auto& book : counts) uses.push_back(use_of(book, set.frames()));
  return uses;
}

}  // namespace gamut::data
