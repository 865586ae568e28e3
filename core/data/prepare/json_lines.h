// Documents that are lines of JSON, plain or gzip: a string a line, or an object with the text in a
// field.
#pragma once

#include <limits>
#include <memory>

#include "data/prepare/text_work.h"

namespace gamut::data {

struct JsonLinesRange {
  std::string field = "text";
  // Lines that begin in this range of (unpacked) bytes.
  int64_t begin = 0, end = std::numeric_limits<int64_t>::max();
};

// `name` is the file's in keys: a document's split does not depend on how the file is cut to units.
std::unique_ptr<DocumentSource> open_json_lines(const std::filesystem::path& path,
                                                const std::string& name,
                                                const JsonLinesRange& range);

// Where the line after the first `documents` documents begins, in unpacked bytes, and how many
// there were up to there (less where the file has less).
struct DocumentsEnd {
  int64_t position = 0, documents = 0;
};
DocumentsEnd end_of_documents(const std::filesystem::path& path, const std::string& field,
                              int64_t documents);

}  // namespace gamut::data
