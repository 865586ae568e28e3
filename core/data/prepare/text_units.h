// Which units a text data set has: files cut into ranges of documents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/prepare/unit.h"

namespace gamut::data {

struct TextFileName {
  std::filesystem::path path;
  std::string name;  // unique, the same at every start
};

struct TextUnitOptions {
  std::string field = "text";        // of JSON lines; the column of Parquet
  int64_t unit_bytes = 16 << 20;     // of text, about
  int64_t validation_documents = 0;  // the first ones in the order of files; 0: the split is seeded
};

// The order of files and of documents in them is that of the data set. By ending: .jsonl and
// .ndjson are JSON lines, also packed as .gz (in one unit then, as a range of it cannot be found
// without unpacking all before), .parquet is Parquet, anything else one document a file, also as
// .gz. Throws gamut::Error for a Parquet file without that column, and when there are no more
// documents than those of the validation.
std::vector<Unit> list_text_units(const std::vector<TextFileName>& files,
                                  const TextUnitOptions& options);

}  // namespace gamut::data
