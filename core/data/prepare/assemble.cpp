// One pass over the journal by unit; memory is that of one unit.
#include "data/prepare/assemble.h"

#include <algorithm>
#include <utility>

#include "data/prepare/records.h"
#include "files/file.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A file of JSON lines, each an item.
class Lines {
 public:
  explicit Lines(const fs::path& path) : file_(path) {}
  void add(const json& line) {
    buffer_ += line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    ++count_;
    if (buffer_.size() > (size_t{1} << 20)) flush();
  }
  int64_t finish() {
    flush();
    file_.finish();
    return count_;
  }

 private:
  void flush() {
    file_.write(buffer_.data(), buffer_.size());
    buffer_.clear();
  }
  files::OutputFile file_;
  std::string buffer_;
  int64_t count_ = 0;
};

json line_of(const Unit& unit, const UnitResult& result) {
  json line = {{"name", unit.name}, {"path", unit.path.string()}, {"bytes", unit.bytes}};
  if (!result.source.is_null()) line.update(result.source);
  if (!result.skipped.empty()) line["reason"] = result.skipped;
  if (!unit.split.empty()) line["split"] = unit.split;
  return line;
}

json describe_files(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  json files = json::object();
  for (const fs::path& path : paths) {
    const files::MappedFile file(path);
    files[path.filename().string()] = {{"bytes", file.size()},
                                       {"sha256", files::sha256_hex(file.data(), file.size())}};
  }
  return files;
}

}  // namespace

json assemble_shards(const std::vector<Unit>& units,
                     const std::vector<std::optional<Journal::Place>>& places,
                     const Journal& journal, const UnitWork& work, const fs::path& shards) {
  Lines sources(shards / "sources.jsonl"), skipped(shards / "skipped.jsonl");
  const auto sink = work.new_sink(shards);
  for (size_t i = 0; i < units.size(); ++i) {
    UnitResult result = decode_record(journal.read(places[i].value()));
    (result.skipped.empty() ? sources : skipped).add(line_of(units[i], result));
    for (Part& part : result.parts) sink->add(units[i], std::move(part));
  }
  json splits = sink->finish();
  const int64_t used = sources.finish(), left_out = skipped.finish();
  return {{"splits", std::move(splits)},
          {"units", {{"used", used}, {"skipped", left_out}}},
          {"files", describe_files(shards)}};
}

}  // namespace gamut::data
