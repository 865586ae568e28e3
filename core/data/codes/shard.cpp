// Every claim of a file is checked before anything relies on it: it may be cut, edited or hostile.
#include "data/codes/shard.h"

#include <gamut/error.h>

#include <algorithm>
#include <cstring>

#include "checkpoint/json_text.h"
#include "checkpoint/safetensors_header.h"
#include "files/hash.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;
using checkpoint::SafetensorsEntry;
using checkpoint::SafetensorsHeader;

struct Layout {
  const char* name;
  const char* dtype;
  size_t dimensions;
};
constexpr Layout kLayout[] = {{"codes", "U16", 2}, {"offsets", "I64", 1}, {"items", "U8", 1}};

// Whose bytes begin where `find_tensor` found them.
struct Tensor {
  const uint8_t* data;
  std::vector<int64_t> shape;
};

Tensor find_tensor(const SafetensorsHeader& header, const Layout& layout, const uint8_t* bytes,
                   const std::string& where) {
  for (const SafetensorsEntry& entry : header.tensors) {
    if (entry.name != layout.name) continue;
    GAMUT_CHECK(entry.dtype == checkpoint::find_safetensors_dtype(layout.dtype) &&
                    entry.shape.size() == layout.dimensions,
                where, ": `", entry.name, "` must be ", layout.dtype, " of ", layout.dimensions,
                " dimensions, and is ", entry.dtype->name, " of ", entry.shape.size());
    const uint64_t begin = header.data_begin + entry.begin;
    const auto width = static_cast<uint64_t>(entry.dtype->bits) / 8;
    GAMUT_CHECK(begin % width == 0, where, ": `", entry.name, "` begins at byte ", begin,
                ", which is no multiple of ", width);
    return {bytes + begin, entry.shape};
  }
  throw Error(c10::str(where, " is no codes shard: it has no tensor `", layout.name, "`"));
}

const std::string& metadata_in(const SafetensorsHeader& header, const std::string& key,
                               const std::string& where) {
  const auto found = header.metadata.find(key);
  GAMUT_CHECK(found != header.metadata.end(), where, ": its metadata has no `", key, "`");
  return found->second;
}

void check_format(const SafetensorsHeader& header, const std::string& where) {
  const auto found = header.metadata.find("format");
  GAMUT_CHECK(found != header.metadata.end() && found->second.rfind("gamut.codes/", 0) == 0, where,
              " is no codes shard: its metadata `format` is not ", kCodesFormat);
  GAMUT_CHECK(found->second == kCodesFormat, where, " is of the format ", found->second,
              "; this program reads ", kCodesFormat);
  GAMUT_CHECK(header.tensors.size() == std::size(kLayout), where, ": a codes shard has ",
              std::size(kLayout), " tensors, and this file ", header.tensors.size());
}

void check_offsets(const CodesView& view, const uint8_t* bytes, const std::string& where) {
  const auto byte_of = [&](int64_t i) {
    return reinterpret_cast<const uint8_t*>(view.offsets + i) - bytes;
  };
  GAMUT_CHECK(view.offsets[0] == 0, where, ": its first offset, at byte ", byte_of(0), ", is ",
              view.offsets[0], " and must be 0");
  for (int64_t i = 1; i <= view.items; ++i) {
    GAMUT_CHECK(view.offsets[i] >= view.offsets[i - 1] && view.offsets[i] <= view.frames, where,
                ": offset ", i, ", at byte ", byte_of(i), ", is ", view.offsets[i], "; after ",
                view.offsets[i - 1], " and with ", view.frames, " frames it cannot be that");
  }
  GAMUT_CHECK(view.offsets[view.items] == view.frames, where, ": its last offset, at byte ",
              byte_of(view.items), ", is ", view.offsets[view.items], ", and there are ",
              view.frames, " frames");
}

std::vector<std::string_view> split_lines(std::string_view text, int64_t items,
                                          const std::string& where) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    GAMUT_CHECK(end != std::string_view::npos, where, ": the last line of `items` does not end");
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  GAMUT_CHECK(static_cast<int64_t>(lines.size()) == items, where, ": `items` has ", lines.size(),
              " lines, and `offsets` is of ", items, " items");
  return lines;
}

nlohmann::json parse_facts(std::string_view line, int64_t index, const std::string& where) {
  const std::string place = c10::str(where, ": item ", index);
  auto facts = checkpoint::parse_json(line, place);
  const bool is_named = facts.is_object() && facts.contains("name") && facts["name"].is_string();
  GAMUT_CHECK(is_named, place, " is no JSON object with a string `name`");
  return facts;
}

void check_range(const CodesView& view, int64_t first, int64_t frames, const std::string& where) {
  const int64_t width = view.description.codebooks;
  const uint16_t* begin = view.codes + first * width;
  const uint16_t* end = begin + frames * width;
  const auto limit = view.description.vocab_size;
  const auto* bad = std::find_if(begin, end, [limit](uint16_t code) { return code >= limit; });
  if (bad == end) return;
  const int64_t index = bad - view.codes;
  throw Error(c10::str(where, ": code ", *bad, ", of frame ", index / width, " and codebook ",
                       index % width, ", is outside of the vocabulary of ", limit,
                       "; the file is damaged"));
}

}  // namespace

CodesView parse_codes(const uint8_t* bytes, size_t size, const fs::path& path) {
  const std::string where = path.string();
  const SafetensorsHeader header = checkpoint::parse_safetensors_header(bytes, size, path);
  check_format(header, where);
  CodesView view;
  view.description = CodesDescription::from_metadata(header.metadata, where);
  view.split = metadata_in(header, "split", where);
  const Tensor codes = find_tensor(header, kLayout[0], bytes, where);
  const Tensor offsets = find_tensor(header, kLayout[1], bytes, where);
  const Tensor items = find_tensor(header, kLayout[2], bytes, where);
  GAMUT_CHECK(codes.shape[1] == view.description.codebooks, where, ": `codes` has ", codes.shape[1],
              " codebooks, and its metadata says ", view.description.codebooks);
  GAMUT_CHECK(offsets.shape[0] >= 1, where, ": `offsets` is empty");
  view.frames = codes.shape[0];
  view.items = offsets.shape[0] - 1;
  view.codes = reinterpret_cast<const uint16_t*>(codes.data);
  view.offsets = reinterpret_cast<const int64_t*>(offsets.data);
  check_offsets(view, bytes, where);
  view.lines =
      split_lines({reinterpret_cast<const char*>(items.data), static_cast<size_t>(items.shape[0])},
                  view.items, where);
  for (const Layout& layout : kLayout) {
    view.checksums[layout.name] = metadata_in(header, c10::str("xxh3.", layout.name), where);
  }
  return view;
}

void verify_codes(const CodesView& view, const fs::path& path) {
  const std::string where = path.string();
  const auto check_sum = [&](const char* name, const void* data, int64_t bytes) {
    const std::string sum = files::xxh3_hex(data, static_cast<size_t>(bytes));
    GAMUT_CHECK(sum == view.checksums.at(name), where, " is damaged: the XXH3 of `", name, "` is ",
                sum, ", and its metadata says ", view.checksums.at(name));
  };
  const int64_t width = view.description.codebooks;
  check_sum("offsets", view.offsets, 8 * (view.items + 1));
  check_sum("codes", view.codes, 2 * view.frames * width);
  const char* lines = view.lines.empty() ? nullptr : view.lines.front().data();
  const char* end =
      view.lines.empty() ? nullptr : view.lines.back().data() + view.lines.back().size() + 1;
  check_sum("items", lines, end - lines);
  check_range(view, 0, view.frames, where);
  for (int64_t i = 0; i < view.items; ++i) {
    parse_facts(view.lines[static_cast<size_t>(i)], i, where);
  }
}

CodesShard::CodesShard(const fs::path& path)
    : path_(path), file_(path), view_(parse_codes(file_.data(), file_.size(), path)) {}

nlohmann::json CodesShard::facts(int64_t index) const {
  return parse_facts(view_.lines[static_cast<size_t>(index)], index, path_.string());
}

void CodesShard::verify() const {
  verify_codes(view_, path_);
}

void CodesShard::check_codes(int64_t first_frame, int64_t frames) const {
  check_range(view_, first_frame, frames, path_.string());
}

}  // namespace gamut::data
