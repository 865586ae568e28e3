// The formats of text: whole files here, JSON lines and Parquet in files of their own.
#include "data/documents.h"

#include "data/prepare/json_lines.h"
#include "data/prepare/parquet_documents.h"
#include "data/prepare/text_work.h"

namespace gamut::data {
namespace {

// The file is the document.
class TextFile : public DocumentSource {
 public:
  explicit TextFile(const Unit& unit)
      : name_(unit.name), document_{unit.path, unit.name, unit.bytes, unit.modified_ns} {
    const std::string reason = unfit(document_);
    GAMUT_CHECK(reason.empty(), reason);
  }
  bool next() override {
    if (reader_) return false;
    reader_ = std::make_unique<DocumentReader>(document_);
    return document_.bytes > 0;
  }
  std::string key() const override { return name_; }
  std::string read(size_t bytes) override { return reader_->read(bytes); }

 private:
  std::string name_;
  Document document_;
  std::unique_ptr<DocumentReader> reader_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_documents(const Unit& unit) {
  const auto facts = nlohmann::json::parse(unit.facts);
  const std::string format = facts.value("format", "text");
  if (format == "text") return std::make_unique<TextFile>(unit);
  const std::string file = facts.value("file", unit.name);
  const int64_t begin = facts.value("begin", int64_t{0});
  const int64_t end = facts.value("end", std::numeric_limits<int64_t>::max());
  if (format == "lines") {
    return open_json_lines(unit.path, file, {facts.value("field", "text"), begin, end});
  }
  if (format == "parquet") {
    return open_parquet(unit.path, file, {facts.value("field", "text"), begin, end});
  }
  throw Error(c10::str("documents in the format `", format,
                       "` cannot be read; `text`, `lines` and `parquet` can"));
}

}  // namespace gamut::data
