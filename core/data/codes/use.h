// How much of their vocabulary codes use: a codec whose books collapse shows it here.
#pragma once

#include <cstdint>
#include <vector>

#include "data/codes/set.h"

namespace gamut::data {

struct CodebookUse {
  int64_t distinct = 0;  // codes that occur
  double bits = 0;       // entropy of a code on its own; log2(vocab_size) at most
};

// By codebook, over all frames. Throws gamut::Error for codes outside of the vocabulary.
std::vector<CodebookUse> codebook_use(const CodeSet& set);

}  // namespace gamut::data
