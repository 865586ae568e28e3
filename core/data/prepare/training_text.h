// The documents that a tokenizer learns from, one after the other, out of all files that a set of
// text can be prepared from.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/prepare/text_work.h"

namespace gamut::data {

struct TrainingTextOptions {
  std::vector<std::filesystem::path> inputs;  // files, or folders with texts below them
  std::string field = "text";                 // of JSON lines; the column of Parquet
  // Told as it goes on: parts of files that are done, and all of them.
  std::function<void(size_t done, size_t all)> progress;
  // Told of what is no text, which stops nothing.
  std::function<void(const std::string& why)> passed_over;
};

class TrainingText {
 public:
  // Throws gamut::Error for an input that is not there, or a folder without text.
  explicit TrainingText(TrainingTextOptions options);

  // The next document; false when there is none.
  bool next(std::string& text);

 private:
  bool open();
  bool read(std::string& text);
  void close();

  TrainingTextOptions options_;
  std::vector<Unit> units_;
  size_t at_ = 0;
  std::unique_ptr<DocumentSource> source_;
};

}  // namespace gamut::data
