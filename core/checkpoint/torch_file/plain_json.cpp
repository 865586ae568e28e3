// JSON is built value by value, each paid for out of the budget before it is made.
#include "checkpoint/torch_file/plain_json.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "checkpoint/json_text.h"

namespace gamut::checkpoint::torch_file {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxValueBytes = size_t{4} << 20;

// Thrown inside of this file only.
struct NotPlain : std::exception {};

// What one value may take of the budget; gives back what it did not.
struct Allowance {
  explicit Allowance(size_t& from) : budget(from), bytes(std::min(from, kMaxValueBytes)) {
    budget -= bytes;
  }
  ~Allowance() { budget += bytes; }
  Allowance(const Allowance&) = delete;
  Allowance& operator=(const Allowance&) = delete;

  size_t& budget;
  size_t bytes;
};

class Builder {
 public:
  Builder(const Pickle& pickle, size_t& budget) : pickle_(pickle), budget_(budget) {}

  json value(Ref ref, int depth) {
    spend(8);
    if (depth >= kMaxJsonDepth) throw NotPlain{};
    if (const auto* dict = pickle_.get<PickleDict>(ref)) return object(*dict, depth);
    if (const auto* list = pickle_.get<PickleList>(ref)) return array(list->items, depth);
    if (const auto* tuple = pickle_.get<PickleTuple>(ref)) return array(tuple->items, depth);
    if (const auto* text = pickle_.get<std::string_view>(ref)) return string(*text);
    if (const auto* integer = pickle_.get<int64_t>(ref)) return *integer;
    if (const auto* boolean = pickle_.get<bool>(ref)) return *boolean;
    if (const auto* number = pickle_.get<double>(ref)) return real(*number);
    if (pickle_.get<PickleNone>(ref)) return nullptr;
    throw NotPlain{};
  }

 private:
  void spend(size_t bytes) {
    if (bytes > budget_) throw NotPlain{};
    budget_ -= bytes;
  }

  json string(std::string_view text) {
    spend(text.size());
    return text;
  }

  static json real(double number) {
    if (std::isfinite(number)) return number;
    return {{"$number", std::isnan(number) ? "nan" : number > 0 ? "inf" : "-inf"}};
  }

  json array(const std::vector<Ref>& items, int depth) {
    json array = json::array();
    for (const Ref item : items) array.push_back(value(item, depth + 1));
    return array;
  }

  json object(const PickleDict& dict, int depth) {
    json object = json::object();
    // Added to the list beneath: the ordered object looks every new key up among all others.
    auto& list = object.get_ref<json::object_t&>();
    std::unordered_set<std::string> keys;
    for (const auto& [key, item] : dict.items) {
      const std::string text = name(key);
      if (!keys.insert(text).second) throw NotPlain{};  // 1 and "1"
      list.emplace_back(text, value(item, depth + 1));
    }
    return object;
  }

  std::string name(Ref key) {
    if (const auto* text = pickle_.get<std::string_view>(key)) return string(*text);
    if (const auto* integer = pickle_.get<int64_t>(key)) return std::to_string(*integer);
    throw NotPlain{};
  }

  const Pickle& pickle_;
  size_t& budget_;
};

}  // namespace

std::optional<std::string> PlainJson::text(Ref ref) {
  Allowance allowance(budget_);
  try {
    const json value = Builder(pickle_, allowance.bytes).value(ref, 0);
    const std::string text = value.dump();  // throws for what is not UTF-8
    return value.is_string() ? value.get<std::string>() : text;
  } catch (const NotPlain&) {
    return std::nullopt;
  } catch (const json::type_error&) {
    return std::nullopt;
  }
}

}  // namespace gamut::checkpoint::torch_file
