// A walk from the top to the chosen dictionary; what lies beside the way is metadata or left out.
#include "checkpoint/torch_file/state_dict.h"

#include <gamut/error.h>

#include <algorithm>
#include <unordered_set>

#include "checkpoint/torch_file/plain_json.h"

namespace gamut::checkpoint::torch_file {
namespace {

// Dictionaries are looked for this deep; optimizers' tensors are at most here.
constexpr size_t kMaxLevels = 4;
// Enough for a message.
constexpr size_t kMaxCandidates = 20;
constexpr size_t kMaxLeftOut = 100;

// A dictionary and the keys that lead to it.
struct Place {
  std::vector<std::string_view> keys;
  Ref dict{};

  std::string key() const {
    std::string text;
    for (const auto part : keys) text.append(text.empty() ? "" : "/").append(part);
    return text;
  }
};

size_t count_tensors(const Pickle& pickle, Ref dict) {
  const auto& items = pickle.get<PickleDict>(dict)->items;
  return static_cast<size_t>(std::count_if(items.begin(), items.end(), [&](const auto& item) {
    return pickle.get<PickleTensor>(item.second) && pickle.get<std::string_view>(item.first);
  }));
}

// The dictionaries inside of one that are under strings.
std::vector<Place> inner(const Pickle& pickle, const Place& outer) {
  std::vector<Place> places;
  for (const auto& [key, value] : pickle.get<PickleDict>(outer.dict)->items) {
    const auto* name = pickle.get<std::string_view>(key);
    if (!name || !pickle.get<PickleDict>(value)) continue;
    places.push_back({outer.keys, value});
    places.back().keys.push_back(*name);
  }
  return places;
}

// All dictionaries of named tensors, those nearest to the top first, none twice.
std::vector<Place> find_candidates(const Pickle& pickle) {
  std::vector<Place> candidates;
  std::unordered_set<uint32_t> seen;
  std::vector<Place> level = {{{}, pickle.root}};
  for (size_t depth = 0; depth < kMaxLevels && !level.empty(); ++depth) {
    std::vector<Place> next;
    for (const Place& place : level) {
      if (candidates.size() == kMaxCandidates) return candidates;
      if (count_tensors(pickle, place.dict) > 0) candidates.push_back(place);
      for (Place& below : inner(pickle, place)) {
        const bool is_new = seen.insert(static_cast<uint32_t>(below.dict)).second;
        if (is_new) next.push_back(std::move(below));
      }
    }
    level = std::move(next);
  }
  return candidates;
}

std::string listed(const Pickle& pickle, const std::vector<Place>& candidates) {
  std::string text;
  for (const Place& place : candidates) {
    const std::string key = place.key();
    text += c10::str(text.empty() ? "" : ", ", key.empty() ? "the top level" : "`" + key + "`",
                     " (", count_tensors(pickle, place.dict), " tensors)");
  }
  return text;
}

Place choose(const Pickle& pickle, const std::string& path) {
  const std::vector<Place> all = find_candidates(pickle);
  GAMUT_CHECK(!all.empty(), path, " holds no dictionary of tensors by name");
  std::vector<Place> nearest;
  for (const Place& place : all) {
    if (place.keys.size() == all.front().keys.size()) nearest.push_back(place);
  }
  if (nearest.size() == 1) return nearest.front();
  for (const char* usual : {"state_dict", "model_state_dict", "model"}) {
    for (const Place& place : nearest) {
      if (place.keys.back() == usual) return place;
    }
  }
  throw Error(c10::str(path, " holds several dictionaries of tensors: ", listed(pickle, all),
                       "; choose one with --key"));
}

// Follows `key` from the top: at each level the longest part of it that is a key there.
Place follow(const Pickle& pickle, const std::string& key, const std::string& path) {
  Place place{{}, pickle.root};
  std::string rest = key;
  while (!rest.empty()) {
    Place next;
    for (Place& below : inner(pickle, place)) {
      const std::string_view name = below.keys.back();
      const bool leads = rest.compare(0, name.size(), name) == 0 &&
                         (rest.size() == name.size() || rest[name.size()] == '/');
      if (leads && (next.keys.empty() || name.size() > next.keys.back().size())) {
        next = std::move(below);
      }
    }
    GAMUT_CHECK(!next.keys.empty(), path, " has no dictionary `", key, "`; with tensors it has ",
                listed(pickle, find_candidates(pickle)));
    rest.erase(0, next.keys.back().size() + 1);
    place = std::move(next);
  }
  GAMUT_CHECK(count_tensors(pickle, place.dict) > 0, path, ": the dictionary `", key,
              "` holds no tensors; those that do: ", listed(pickle, find_candidates(pickle)));
  return place;
}

// Sorts what a dictionary holds into tensors, metadata and the rest.
class Sorter {
 public:
  Sorter(const Pickle& pickle, StateDict& result)
      : pickle_(pickle), plain_(pickle), result_(result) {}

  void add_tensors(const Place& place) {
    const std::string prefix = place.keys.empty() ? "" : place.key() + "/";
    for (const auto& [key, value] : pickle_.get<PickleDict>(place.dict)->items) {
      const auto* name = pickle_.get<std::string_view>(key);
      if (name && pickle_.get<PickleTensor>(value)) {
        result_.tensors.emplace_back(*name, value);
      } else {
        add_beside(prefix, key, value);
      }
    }
  }

  // What is in a dictionary on the way, but for the one that the way goes on to.
  void add_beside_way(const std::string& prefix, const PickleDict& dict, std::string_view way) {
    for (const auto& [key, value] : dict.items) {
      const auto* name = pickle_.get<std::string_view>(key);
      if (!name || *name != way) add_beside(prefix, key, value);
    }
  }

 private:
  void add_beside(const std::string& prefix, Ref key, Ref value) {
    const auto* name = pickle_.get<std::string_view>(key);
    const auto* dict = pickle_.get<PickleDict>(value);
    if (name && dict && *name == "metadata") {
      for (const auto& [inner_key, inner_value] : dict->items) {
        add_plain(prefix + "metadata/", inner_key, inner_value);
      }
    } else {
      add_plain(prefix, key, value);
    }
  }

  void add_plain(const std::string& prefix, Ref key, Ref value) {
    const auto name = plain_.text(key);
    const auto text = name ? plain_.text(value) : std::nullopt;
    if (!text || !result_.metadata.emplace(*name, *text).second) {
      leave_out(prefix + name.value_or("a key that is no text"));
    }
  }

  void leave_out(std::string key) {
    ++result_.left_out;
    if (result_.left_out_keys.size() < kMaxLeftOut) result_.left_out_keys.push_back(std::move(key));
  }

  const Pickle& pickle_;
  PlainJson plain_;
  StateDict& result_;
};

}  // namespace

StateDict find_state_dict(const Pickle& pickle, const std::string& key, const std::string& path) {
  GAMUT_CHECK(pickle.get<PickleDict>(pickle.root), path, " holds ", kind_of(pickle[pickle.root]),
              " and not a dictionary of tensors; in Python, torch.save({\"name\": tensor, ...})");
  const Place place = key.empty() ? choose(pickle, path) : follow(pickle, key, path);
  StateDict result;
  result.key = place.key();
  Sorter sorter(pickle, result);
  sorter.add_tensors(place);
  Place way{{}, pickle.root};
  for (const std::string_view next : place.keys) {
    const auto& dict = *pickle.get<PickleDict>(way.dict);
    sorter.add_beside_way(way.keys.empty() ? "" : way.key() + "/", dict, next);
    for (Place& below : inner(pickle, way)) {
      if (below.keys.back() == next) {
        way = std::move(below);
        break;
      }
    }
  }
  return result;
}

}  // namespace gamut::checkpoint::torch_file
