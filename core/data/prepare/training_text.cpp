#include "data/prepare/training_text.h"

#include <utility>

#include "data/documents.h"
#include "data/prepare/text_units.h"
#include "data/prepare/walk.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = size_t{1} << 20;

std::vector<std::string> endings() {
  std::vector<std::string> all = {".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".parquet"};
  for (const auto& ending : text_endings()) {
    all.push_back(ending);
    all.push_back(ending + ".gz");
  }
  return all;
}

// The file, or the files of documents below the folder.
void add_files(const fs::path& input, std::vector<TextFileName>& files) {
  std::error_code error;
  if (!fs::is_directory(input, error)) {
    GAMUT_CHECK(fs::exists(input, error), "there is no file or folder ", input.string());
    files.push_back({input, input.string()});
    return;
  }
  const auto names = walk_files(input, endings());
  GAMUT_CHECK(!names.empty(), "the folder ", input.string(),
              " holds no text: files that end in .txt, .md, .rst, .pod, .jsonl or .ndjson, also ",
              "with .gz, or in .parquet");
  for (const auto& name : names) files.push_back({input / name, (input / name).string()});
}

}  // namespace

TrainingText::TrainingText(TrainingTextOptions options) : options_(std::move(options)) {
  std::vector<TextFileName> files;
  for (const auto& input : options_.inputs) add_files(input, files);
  TextUnitOptions of_units;
  of_units.field = options_.field;
  units_ = list_text_units(files, of_units);
  for (auto& unit : units_) {
    std::error_code gone;  // told when its turn comes
    unit.bytes = fs::file_size(unit.path, gone);
  }
}

bool TrainingText::next(std::string& text) {
  for (;;) {
    if (!source_ && !open()) return false;
    try {
      if (read(text)) return true;
    } catch (const Error& error) {
      options_.passed_over(error.what());
    }
    close();
  }
}

bool TrainingText::open() {
  while (at_ < units_.size()) {
    try {
      source_ = open_documents(units_[at_]);
      return true;
    } catch (const Error& error) {
      options_.passed_over(error.what());
      close();
    }
  }
  return false;
}

bool TrainingText::read(std::string& text) {
  if (!source_->next()) return false;
  text.clear();
  for (std::string piece = source_->read(kPiece); !piece.empty(); piece = source_->read(kPiece)) {
    text += piece;
  }
  return true;
}

void TrainingText::close() {
  const auto facts = source_ ? source_->facts() : nlohmann::json::object();
  if (facts.contains("documents_skipped")) {
    options_.passed_over(
        c10::str(units_[at_].path.string(), ": ", facts["documents_skipped"].get<int64_t>(),
                 " lines are no documents; ", facts["first_skipped"].get<std::string>()));
  }
  source_.reset();
  options_.progress(++at_, units_.size());
}

}  // namespace gamut::data
