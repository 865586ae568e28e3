// zlib reads plain files as they are and gzip files unpacked; ranges are of unpacked bytes.
#include "data/prepare/json_lines.h"

#include <gamut/error.h>
#include <zlib.h>

#include <utility>

namespace gamut::data {
namespace {

using nlohmann::json;

// Lines of a file, plain or gzip, with the byte where each begins.
class LineReader {
 public:
  LineReader(const std::filesystem::path& path, int64_t begin)
      : path_(path.string()), file_(gzopen(path_.c_str(), "rbe"), &gzclose) {
    GAMUT_CHECK(file_, "cannot open ", path_);
    gzbuffer(file_.get(), 1 << 18);
    if (begin == 0) return;
    // From the byte before: if a line ends there, the next one begins in the range.
    GAMUT_CHECK(gzseek(file_.get(), begin - 1, SEEK_SET) == begin - 1, path_,
                " ends or is damaged before byte ", begin);
    position_ = begin - 1;
    std::string rest;
    next(rest);
  }

  int64_t position() const { return position_; }

  // Without its line end; false at the end of the file.
  bool next(std::string& line) {
    line.clear();
    for (;;) {
      const size_t end = buffer_.find('\n', used_);
      if (end != std::string::npos) {
        line.append(buffer_, used_, end - used_);
        used_ = end + 1;
        position_ += static_cast<int64_t>(line.size()) + 1;
        return true;
      }
      line.append(buffer_, used_);
      used_ = buffer_.size();
      if (!fill()) {
        position_ += static_cast<int64_t>(line.size());
        return !line.empty();
      }
    }
  }

 private:
  bool fill() {
    buffer_.resize(1 << 18);
    used_ = 0;
    const int got = gzread(file_.get(), buffer_.data(), 1 << 18);
    int error = Z_OK;
    gzerror(file_.get(), &error);
    GAMUT_CHECK(got >= 0 && (error == Z_OK || error == Z_STREAM_END), path_,
                " is damaged or cut short: its compressed data cannot be unpacked");
    buffer_.resize(static_cast<size_t>(got));
    return got > 0;
  }

  std::string path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
  std::string buffer_;
  size_t used_ = 0;
  int64_t position_ = 0;
};

class JsonLines : public DocumentSource {
 public:
  JsonLines(const std::filesystem::path& path, std::string name, const JsonLinesRange& range)
      : name_(std::move(name)), field_(range.field), end_(range.end), lines_(path, range.begin) {}

  bool next() override {
    std::string line;
    for (;;) {
      begin_ = lines_.position();
      if (begin_ >= end_ || !lines_.next(line)) return false;
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      if (take(line)) return true;
    }
  }
  // Where the line after the current document begins.
  int64_t position() const { return lines_.position(); }
  std::string key() const override { return c10::str(name_, "#", begin_); }
  std::string read(size_t /*bytes*/) override { return std::exchange(text_, ""); }
  json facts() const override {
    if (bad_ == 0) return json::object();
    return {{"documents_skipped", bad_}, {"first_skipped", reason_}};
  }

 private:
  // A line that is none of ours is counted; the others go on.
  bool take(const std::string& line) {
    json value = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (value.is_object() && value.contains(field_)) value = std::move(value[field_]);
    if (value.is_string()) {
      text_ = value.get<std::string>();
      return true;
    }
    if (bad_++ == 0) {
      reason_ = c10::str("the line at byte ", begin_,
                         value.is_discarded() ? std::string(" is not JSON, or not UTF-8")
                                              : c10::str(" has no text in a field `", field_, "`"));
    }
    return false;
  }

  std::string name_, field_;
  int64_t end_;
  LineReader lines_;
  int64_t begin_ = 0, bad_ = 0;
  std::string text_, reason_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_json_lines(const std::filesystem::path& path,
                                                const std::string& name,
                                                const JsonLinesRange& range) {
  return std::make_unique<JsonLines>(path, name, range);
}

DocumentsEnd end_of_documents(const std::filesystem::path& path, const std::string& field,
                              int64_t documents) {
  JsonLines lines(path, path.string(), {field});
  DocumentsEnd end;
  while (end.documents < documents && lines.next()) ++end.documents;
  end.position = lines.position();
  return end;
}

}  // namespace gamut::data
