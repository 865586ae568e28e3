// Plans are JSON, so that their differences can be told by path.
#include "data/prepare/plan.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_set>

#include "files/hash.h"

namespace gamut::data {
namespace {

using nlohmann::json;

void check_split(const Unit& unit) {
  const bool known =
      unit.split.empty() || unit.split == "train" || unit.split == "val" || unit.split == "test";
  GAMUT_CHECK(known, unit.name, " belongs to the split `", unit.split,
              "`; splits are train, val and test");
}

void add_file_facts(Unit& unit) {
  struct stat status{};
  if (unit.bytes == 0 && stat(unit.path.c_str(), &status) == 0) {
    unit.bytes = static_cast<uint64_t>(status.st_size);
    unit.modified_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  }
  // Opening a file costs about as much as 4 kB of its work.
  if (unit.weight == 0) unit.weight = unit.bytes + 4096;
}

// "/tokenizer/options/bandwidth" -> "tokenizer.options.bandwidth"
std::string dotted(std::string path) {
  if (!path.empty()) path.erase(0, 1);
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

std::string text_of(const json& flat, const std::string& key) {
  const auto found = flat.find(key);
  return found == flat.end() ? "not set" : found->dump();
}

}  // namespace

void complete_units(std::vector<Unit>& units) {
  GAMUT_CHECK(!units.empty(), "there is nothing to prepare: the data set has no items");
  std::unordered_set<std::string_view> names;
  for (Unit& unit : units) {
    GAMUT_CHECK(names.insert(unit.name).second, "two items are called `", unit.name,
                "`; each needs a name of its own");
    check_split(unit);
    add_file_facts(unit);
  }
}

std::string fingerprint(const Unit& unit) {
  const char nul = '\0';
  const std::string text =
      c10::str(unit.name, nul, unit.split, nul, unit.facts, nul, unit.bytes, nul, unit.modified_ns);
  return files::xxh3_hex(text.data(), text.size());
}

std::string difference(const json& before, const json& now) {
  const json old_flat = before.flatten(), new_flat = now.flatten();
  std::set<std::string> keys;
  for (const auto& [key, value] : old_flat.items()) keys.insert(key);
  for (const auto& [key, value] : new_flat.items()) keys.insert(key);
  std::string text;
  int count = 0;
  for (const std::string& key : keys) {
    const std::string was = text_of(old_flat, key), is = text_of(new_flat, key);
    if (was == is || ++count > 3) continue;
    text +=
        c10::str(text.empty() ? "" : ", ", "`", dotted(key), "` was ", was, " and is ", is, " now");
  }
  if (count > 3) text += c10::str(", and ", count - 3, " more");
  return text;
}

}  // namespace gamut::data
