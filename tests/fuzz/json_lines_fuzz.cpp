// Any bytes as a file of JSON lines, plain or gzip: either a gamut::Error, or the same documents
// whether they are read at once or in two ranges.
#include "data/prepare/json_lines.h"

#include <gamut/error.h>

#include <utility>
#include <vector>

#include "support.h"

namespace {

using gamut::fuzz::require;
using Documents = std::vector<std::pair<std::string, std::string>>;  // key and text

struct Range {
  int64_t begin, end;
};

// Adds the documents of a range; returns how many lines were none.
int64_t read(const std::string& path, Range range, Documents& documents) {
  const auto source = gamut::data::open_json_lines(path, "input", {"text", range.begin, range.end});
  while (source->next()) {
    documents.emplace_back(source->key(), source->read(1 << 20));
    require(source->read(1 << 20).empty());
  }
  return source->facts().value("documents_skipped", int64_t{0});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const gamut::fuzz::MemoryFile file(data + 1, size - 1);
  const int64_t cut = data[0];
  constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
  Documents whole, parts;
  int64_t skipped = 0;
  try {
    skipped = read(file.path(), {0, kEnd}, whole);
    const auto end = gamut::data::end_of_documents(file.path(), "text", 1);
    require(end.documents == static_cast<int64_t>(whole.empty() ? 0 : 1) && end.position >= 0);
  } catch (const gamut::Error&) {
    return 0;  // refused in words
  }
  try {
    skipped -= read(file.path(), {0, cut}, parts);
    skipped -= read(file.path(), {cut, kEnd}, parts);
  } catch (const gamut::Error&) {
    return 0;  // the cut is behind the end of the file
  }
  require(whole == parts && skipped == 0);
  return 0;
}
