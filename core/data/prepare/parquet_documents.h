// Documents that are rows of a Parquet file: gamut-parquet-text reads them, a program of its own
// (tools/parquet_text), as a child of this one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/prepare/text_work.h"

namespace gamut::data {

struct ParquetRange {
  std::string column = "text";
  int64_t begin = 0, end = std::numeric_limits<int64_t>::max();  // rows
};

// `name` is the file's in keys. Rows that are null are passed over. Throws gamut::Error for a file
// that is no Parquet or is damaged, a column that is not there or holds no text (naming those that
// do), and where the tool was not built.
std::unique_ptr<DocumentSource> open_parquet(const std::filesystem::path& path,
                                             const std::string& name, const ParquetRange& range);

struct ParquetInfo {
  struct RowGroup {
    int64_t rows = 0;
    std::map<std::string, int64_t> bytes;  // of each column of text, unpacked
  };
  int64_t rows = 0;
  std::vector<std::string> columns;  // of text
  std::vector<RowGroup> row_groups;
};
ParquetInfo parquet_info(const std::filesystem::path& path);

}  // namespace gamut::data
