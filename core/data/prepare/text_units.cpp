// Ranges of bytes of JSON lines, of rows of Parquet.
#include "data/prepare/text_units.h"

#include <gamut/error.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/prepare/json_lines.h"
#include "data/prepare/parquet_documents.h"
#include "text/affix.h"

namespace gamut::data {
namespace {

using nlohmann::json;
using text::ends_with;

constexpr int64_t kToTheEnd = std::numeric_limits<int64_t>::max();

class Lister {
 public:
  explicit Lister(const TextUnitOptions& options)
      : options_(options), left_(options.validation_documents) {
    GAMUT_CHECK(options.unit_bytes > 0, "a unit of text has one byte or more");
  }

  std::vector<Unit> run(const std::vector<TextFileName>& files) {
    for (const auto& file : files) {
      std::string name = file.name;
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
      const bool packed = ends_with(name, ".gz");
      if (packed) name.resize(name.size() - 3);
      if (ends_with(name, ".jsonl") || ends_with(name, ".ndjson")) {
        add_lines(file, packed);
      } else if (ends_with(name, ".parquet")) {
        add_parquet(file);
      } else {
        add(file, {{"format", "text"}}, 0, take(1) ? "val" : after());
      }
    }
    GAMUT_CHECK(left_ == 0 && (options_.validation_documents == 0 || trained_), "the first ",
                options_.validation_documents,
                " documents are for validation, and "
                "there are no more than ",
                options_.validation_documents - left_, "; choose fewer for validation");
    return std::move(units_);
  }

 private:
  // The split of what comes after the validation's documents; "" where it is seeded.
  std::string after() {
    trained_ = true;
    return options_.validation_documents > 0 ? "train" : "";
  }

  // Takes up to `documents` for validation; how many there were.
  int64_t take(int64_t documents) {
    const int64_t taken = std::min(left_, documents);
    left_ -= taken;
    return taken;
  }

  void add(const TextFileName& file, json facts, int64_t weight, std::string split) {
    Unit unit;
    unit.name = file.name;
    if (facts.contains("begin")) unit.name += "@" + std::to_string(facts["begin"].get<int64_t>());
    unit.path = file.path;
    unit.split = std::move(split);
    facts["file"] = file.name;
    unit.facts = facts.dump();
    unit.weight = static_cast<uint64_t>(weight);
    units_.push_back(std::move(unit));
  }

  json range(const char* format, int64_t begin, int64_t end) const {
    return {{"format", format}, {"field", options_.field}, {"begin", begin}, {"end", end}};
  }

  void add_lines(const TextFileName& file, bool packed) {
    const auto size = static_cast<int64_t>(std::filesystem::file_size(file.path));
    const int64_t all = packed ? kToTheEnd : size;
    int64_t begin = 0;
    if (left_ > 0) {
      const DocumentsEnd end = end_of_documents(file.path, options_.field, left_);
      take(end.documents);
      begin = left_ > 0 ? all : end.position;
      add_bytes(file, 0, begin, size, "val");
    }
    if (begin < all) add_bytes(file, begin, all, size, after());
  }

  // A range that ends where the file does is cut into units; of a packed file the end is not known.
  void add_bytes(const TextFileName& file, int64_t begin, int64_t end, int64_t size,
                 const std::string& split) {
    const int64_t step = end == kToTheEnd ? kToTheEnd : options_.unit_bytes;
    while (begin < end) {
      const int64_t stop = end - begin <= step ? end : begin + step;
      add(file, range("lines", begin, stop), std::max<int64_t>(std::min(stop, size) - begin, 1),
          split);
      begin = stop;
    }
  }

  void add_parquet(const TextFileName& file) {
    const ParquetInfo info = parquet_info(file.path);
    const bool known = std::count(info.columns.begin(), info.columns.end(), options_.field) > 0;
    std::string names;
    for (const auto& column : info.columns) names += (names.empty() ? "" : ", ") + column;
    GAMUT_CHECK(known, file.path.string(), " has no column of text `", options_.field,
                "`; it has: ", names.empty() ? "none" : names);
    const int64_t held = take(info.rows);
    add_rows(file, info, 0, held, "val");
    if (held < info.rows) add_rows(file, info, held, info.rows, after());
  }

  // Row groups are of any size: small ones go together, large ones are cut by their mean row.
  void add_rows(const TextFileName& file, const ParquetInfo& info, int64_t from, int64_t to,
                const std::string& split) {
    int64_t first = 0, begin = from;
    double bytes = 0;
    for (const auto& group : info.row_groups) {
      const double row = static_cast<double>(group.bytes.at(options_.field)) /
                         static_cast<double>(std::max<int64_t>(group.rows, 1));
      for (int64_t at = std::max(first, begin); at < std::min(first + group.rows, to);) {
        const double room =
            std::max(1.0, (static_cast<double>(options_.unit_bytes) - bytes) / std::max(row, 1.0));
        const auto rows = static_cast<int64_t>(
            std::min(room, static_cast<double>(std::min(first + group.rows, to) - at)));
        at += rows;
        bytes += static_cast<double>(rows) * row;
        if (bytes + row <= static_cast<double>(options_.unit_bytes) && at < to) continue;
        add(file, range("parquet", begin, at), static_cast<int64_t>(bytes) + 1, split);
        begin = at, bytes = 0;
      }
      first += group.rows;
    }
    if (begin < to) add(file, range("parquet", begin, to), static_cast<int64_t>(bytes) + 1, split);
  }

  const TextUnitOptions& options_;
  int64_t left_;  // documents that the validation still lacks
  bool trained_ = false;
  std::vector<Unit> units_;
};

}  // namespace

std::vector<Unit> list_text_units(const std::vector<TextFileName>& files,
                                  const TextUnitOptions& options) {
  return Lister(options).run(files);
}

}  // namespace gamut::data
