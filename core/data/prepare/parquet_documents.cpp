// The protocol of gamut-parquet-text, see tools/parquet_text/main.cpp.
#include "data/prepare/parquet_documents.h"

#include <gamut/error.h>

#include <algorithm>
#include <utility>

#include "data/prepare/child_output.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kNull = ~uint64_t{0};
constexpr size_t kPiece = size_t{1} << 20;

// Beside the program, where it was built and where it is installed.
fs::path tool() {
  const fs::path path = fs::read_symlink("/proc/self/exe").parent_path() / "gamut-parquet-text";
  GAMUT_CHECK(
      fs::exists(path),
      "Parquet cannot be read: gamut-parquet-text was left out of this build, because there "
      "was no Arrow. With a network, `./gamut setup` fetches it; or name an installed "
      "pyarrow with GAMUT_ARROW=/path/to/site-packages/pyarrow; then call ./gamut again. "
      "JSON lines can be read without it");
  return path;
}

class Parquet : public DocumentSource {
 public:
  Parquet(const fs::path& path, std::string name, const ParquetRange& range)
      : name_(std::move(name)),
        row_(range.begin - 1),
        child_(tool(), {"read", path.string(), range.column, std::to_string(range.begin),
                        std::to_string(range.end)}) {}

  bool next() override {
    while (left_ > 0) read(kPiece);  // what the reader did not want
    for (;;) {
      uint64_t length = 0;
      const size_t got = child_.read(reinterpret_cast<char*>(&length), sizeof length);
      if (got < sizeof length) {
        child_.finish();
        GAMUT_CHECK(got == 0, name_, ": gamut-parquet-text broke off inside of a row");
        return false;
      }
      ++row_;
      if (length == kNull) continue;
      left_ = length;
      return true;
    }
  }
  std::string key() const override { return c10::str(name_, "#", row_); }
  std::string read(size_t bytes) override {
    std::string piece(std::min<uint64_t>(bytes, left_), '\0');
    if (child_.read(piece.data(), piece.size()) < piece.size()) {
      child_.finish();
      throw Error(name_ + ": gamut-parquet-text broke off inside of a row");
    }
    left_ -= piece.size();
    return piece;
  }

 private:
  std::string name_;
  int64_t row_;  // of the current document
  ChildOutput child_;
  uint64_t left_ = 0;  // bytes of the current document
};

}  // namespace

std::unique_ptr<DocumentSource> open_parquet(const fs::path& path, const std::string& name,
                                             const ParquetRange& range) {
  return std::make_unique<Parquet>(path, name, range);
}

ParquetInfo parquet_info(const fs::path& path) {
  ChildOutput child(tool(), {"info", path.string()});
  std::string text, piece(kPiece, '\0');
  size_t got = 0;
  do {
    got = child.read(piece.data(), piece.size());
    text.append(piece, 0, got);
  } while (got == piece.size());
  child.finish();
  const json said = json::parse(text);
  ParquetInfo info;
  info.rows = said.at("rows");
  info.columns = said.at("columns").get<std::vector<std::string>>();
  for (const auto& group : said.at("row_groups")) {
    info.row_groups.push_back({group.at(0), group.at(1).get<std::map<std::string, int64_t>>()});
  }
  return info;
}

}  // namespace gamut::data
