// Numbers of items to shards; codes to int64, checked on the way.
#include "data/codes/set.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <algorithm>
#include <cctype>

#include "data/fingerprint.h"
#include "data/token_set.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDigits = 6;

// "train" of train_000000.safetensors, and the number; an empty split for other names.
struct ShardName {
  std::string split;
  int64_t number = 0;
};

ShardName parse_name(const fs::path& path) {
  const std::string stem = path.stem().string();
  if (path.extension() != ".safetensors" || stem.size() < kDigits + 2) return {};
  const size_t mark = stem.size() - kDigits - 1;
  const std::string digits = stem.substr(mark + 1);
  const bool fits =
      std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isdigit(c); });
  if (stem[0] == '.' || stem[mark] != '_' || !fits) return {};
  return {stem.substr(0, mark), std::stoll(digits)};
}

// Shards of a folder are numbered from 0 on; `files` are sorted.
void check_complete(const std::vector<fs::path>& files) {
  std::string split;
  int64_t expected = 0;
  for (const auto& file : files) {
    const ShardName name = parse_name(file);
    if (name.split != split) split = name.split, expected = 0;
    GAMUT_CHECK(name.number == expected, "shard ", expected, " of the split `", split,
                "` is missing: ", file.parent_path().string(), " holds ", file.filename().string(),
                " and not the one before");
    ++expected;
  }
}

}  // namespace

CodeSet::CodeSet(const std::vector<fs::path>& files) {
  GAMUT_CHECK(!files.empty(), "a code set needs at least one shard");
  for (const auto& file : files) {
    shards_.push_back(std::make_unique<CodesShard>(file));
    const CodesShard& shard = *shards_.back();
    std::string why;
    GAMUT_CHECK(description().fits(shard.description(), &why), "the codes of ",
                shards_[0]->path().string(), " and ", file.string(), " cannot be mixed: ", why);
    starts_.push_back(starts_.back() + shard.items());
    frames_ += shard.frames();
  }
}

CodeSet::Place CodeSet::place(int64_t index) const {
  GAMUT_CHECK(index >= 0 && index < items(), "there is no item ", index, "; this set has ", items(),
              ", numbered from 0");
  // The last shard that starts at or before it; shards without items are passed over.
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), index);
  const auto shard = static_cast<size_t>(after - starts_.begin()) - 1;
  return {*shards_[shard], index - starts_[shard]};
}

int64_t CodeSet::length(int64_t index) const {
  const Place at = place(index);
  return at.shard.length(at.index);
}

nlohmann::json CodeSet::facts(int64_t index) const {
  const Place at = place(index);
  return at.shard.facts(at.index);
}

at::Tensor CodeSet::item(int64_t index) const {
  const Place at = place(index);
  const int64_t begin = at.shard.begin(at.index), length = at.shard.length(at.index);
  at.shard.check_codes(begin, length);
  const int64_t width = description().codebooks;
  // The mapping is private to this process, so writing to the view cannot reach the file.
  auto* codes = const_cast<uint16_t*>(at.shard.codes()) + begin * width;
  return at::from_blob(codes, {length, width}, at::kUInt16);
}

void CodeSet::read(int64_t index, int64_t begin, int64_t count, int64_t* out,
                   int64_t stride) const {
  const Place at = place(index);
  GAMUT_CHECK(begin >= 0 && count >= 0 && begin + count <= at.shard.length(at.index), "item ",
              index, " has ", at.shard.length(at.index), " frames, not ", begin, " to ",
              begin + count);
  const int64_t width = description().codebooks;
  const int64_t first = at.shard.begin(at.index) + begin;
  const uint16_t* codes = at.shard.codes() + first * width;
  uint16_t largest = 0;
  for (int64_t t = 0; t < count; ++t) {
    for (int64_t k = 0; k < width; ++k) {
      const uint16_t code = codes[t * width + k];
      largest = std::max(largest, code);
      out[k * stride + t] = code;
    }
  }
  if (largest >= description().vocab_size) at.shard.check_codes(first, count);
}

int64_t CodeSet::find(const std::string& name) const {
  for (int64_t i = 0; i < items(); ++i) {
    if (facts(i)["name"] == name) return i;
  }
  return -1;
}

void CodeSet::verify() const {
  for (const auto& shard : shards_) shard->verify();
}

std::string CodeSet::fingerprint() const {
  std::string lines;
  for (const auto& shard : shards_) {
    const auto& file = shard->file();
    lines += fingerprint_line(shard->path(), file.data(), static_cast<int64_t>(file.size()));
  }
  return fingerprint_of(lines);
}

std::vector<fs::path> find_codes(const std::string& path, const std::string& split) {
  std::vector<fs::path> files;
  if (path.find_first_of("*?[") != std::string::npos && !fs::exists(path)) {
    files = match_pattern(path);
    GAMUT_CHECK(!files.empty(), "no file matches the pattern ", path);
  } else if (fs::is_directory(path)) {
    for (const auto& entry : fs::directory_iterator(path)) {
      const ShardName name = parse_name(entry.path());
      if (!name.split.empty() && (split.empty() || name.split == split)) {
        files.push_back(entry.path());
      }
    }
    GAMUT_CHECK(!files.empty(), "the folder ", path, " holds no codes shards (",
                split.empty() ? "*" : split, "_000000.safetensors)");
    std::sort(files.begin(), files.end());
    check_complete(files);
  } else {
    GAMUT_CHECK(fs::exists(path), "there is no file or folder ", path);
    files.emplace_back(path);
  }
  return files;
}

}  // namespace gamut::data
