// To JSON and back, every field checked on the way in.
#include "data/codes/description.h"

#include <gamut/codec.h>
#include <gamut/identity.h>

#include <charconv>
#include <cmath>
#include <utility>

#include "checkpoint/json_text.h"

namespace gamut::data {
namespace {

using nlohmann::json;

// "the tokenizers differ in <what>: <ours> and <theirs>", or nothing where they are equal.
std::string difference(const std::string& what, const std::string& ours,
                       const std::string& theirs) {
  if (ours == theirs) return "";
  const auto named = [](const std::string& value) { return value.empty() ? "none" : value; };
  return c10::str("the tokenizers differ in ", what, ": ", named(ours), " and ", named(theirs));
}

std::string value_in(const std::map<std::string, std::string>& map, const std::string& key) {
  const auto found = map.find(key);
  return found == map.end() ? "" : found->second;
}

std::string identity_difference(const TokenizerRecord& ours, const TokenizerRecord& theirs) {
  for (const auto* record : {&ours, &theirs}) {
    for (const auto& [key, value] : record->identity) {
      const auto text =
          difference(key, value_in(ours.identity, key), value_in(theirs.identity, key));
      if (!text.empty()) return text;
    }
  }
  return "";
}

// An integer of the metadata, at least 1.
int64_t integer_in(const std::map<std::string, std::string>& metadata, const char* key,
                   const std::string& where) {
  const std::string text = value_in(metadata, key);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  GAMUT_CHECK(error == std::errc() && end == text.data() + text.size() && number >= 1, where,
              ": its metadata `", key, "` is `", text, "`, not a whole number of 1 or more");
  return number;
}

double number_in(const std::map<std::string, std::string>& metadata, const char* key,
                 const std::string& where) {
  const std::string text = value_in(metadata, key);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  GAMUT_CHECK(is_number && std::isfinite(number) && number > 0, where, ": its metadata `", key,
              "` is `", text, "`, not a number above 0");
  return number;
}

// The shortest text that reads back as the same number.
std::string number_text(double number) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

const json& field(const json& object, const char* name, bool (json::*is_right)() const noexcept,
                  const std::string& where) {
  const auto found = object.find(name);
  GAMUT_CHECK(found != object.end() && ((*found).*is_right)(), where, ": its tokenizer has no `",
              name, "`, or one of the wrong kind");
  return *found;
}

}  // namespace

TokenizerRecord TokenizerRecord::of(Tokenizer& tokenizer, std::string name, std::string version,
                                    const OptionMap& options) {
  TokenizerRecord record{std::move(name), std::move(version), options_to_json(options), {}};
  if (auto* identity = static_cast<Identity*>(tokenizer.query(Identity::kId))) {
    record.identity = identity->identity();
  }
  return record;
}

json TokenizerRecord::to_json() const {
  return {{"name", name}, {"version", version}, {"options", options}, {"identity", identity}};
}

TokenizerRecord TokenizerRecord::from_json(const json& object, const std::string& where) {
  GAMUT_CHECK(object.is_object(), where, ": its tokenizer is no JSON object");
  TokenizerRecord record;
  record.name = field(object, "name", &json::is_string, where).get<std::string>();
  record.version = field(object, "version", &json::is_string, where).get<std::string>();
  record.options = field(object, "options", &json::is_object, where);
  for (const auto& [key, value] : field(object, "identity", &json::is_object, where).items()) {
    GAMUT_CHECK(value.is_string(), where, ": `", key, "` of its tokenizer's identity is no string");
    record.identity[key] = value.get<std::string>();
  }
  return record;
}

bool TokenizerRecord::gives_codes_of(const TokenizerRecord& other, std::string* why) const {
  std::string text = difference("name", name, other.name);
  if (text.empty()) text = difference("version", version, other.version);
  if (text.empty()) text = identity_difference(*this, other);
  if (text.empty() && identity.empty()) {
    text = difference("options", options.dump(), other.options.dump());
  }
  if (why) *why = text;
  return text.empty();
}

CodesDescription CodesDescription::of(Tokenizer& tokenizer, TokenizerRecord record) {
  const TokenizerInfo info = tokenizer.info();
  const auto* codec = static_cast<AudioCodec*>(tokenizer.query(AudioCodec::kId));
  GAMUT_CHECK(info.is_audio && codec, "the tokenizer `", record.name,
              "` is none of audio with a fixed frame rate; its tokens go to a .bin shard");
  CodesDescription description{std::move(record),   info.sample_rate, info.frame_rate,
                               codec->hop_length(), info.codebooks,   info.vocab_size};
  return description;
}

void CodesDescription::check(const std::string& where) const {
  GAMUT_CHECK(vocab_size >= 1 && vocab_size <= 65536, where,
              ": codes of 16 bits have a vocabulary ", "of 1 to 65536, not ", vocab_size);
  GAMUT_CHECK(codebooks >= 1 && codebooks <= 4096, where,
              ": there can be 1 to 4096 codebooks, not ", codebooks);
  GAMUT_CHECK(sample_rate >= 1 && hop_length >= 1, where, ": sample_rate and hop_length must be 1 ",
              "or more, not ", sample_rate, " and ", hop_length);
  GAMUT_CHECK(std::isfinite(frame_rate) && frame_rate > 0, where, ": frame_rate must be above 0, ",
              "not ", frame_rate);
}

std::map<std::string, std::string> CodesDescription::to_metadata() const {
  return {{"tokenizer", tokenizer.to_json().dump()}, {"sample_rate", std::to_string(sample_rate)},
          {"frame_rate", number_text(frame_rate)},   {"hop_length", std::to_string(hop_length)},
          {"codebooks", std::to_string(codebooks)},  {"vocab_size", std::to_string(vocab_size)}};
}

CodesDescription CodesDescription::from_metadata(const std::map<std::string, std::string>& metadata,
                                                 const std::string& where) {
  CodesDescription description;
  const auto tokenizer = metadata.find("tokenizer");
  GAMUT_CHECK(tokenizer != metadata.end(), where, ": its metadata has no `tokenizer`");
  description.tokenizer = TokenizerRecord::from_json(
      checkpoint::parse_json(tokenizer->second, where + ": its metadata `tokenizer`"), where);
  description.sample_rate = integer_in(metadata, "sample_rate", where);
  description.frame_rate = number_in(metadata, "frame_rate", where);
  description.hop_length = integer_in(metadata, "hop_length", where);
  description.codebooks = integer_in(metadata, "codebooks", where);
  description.vocab_size = integer_in(metadata, "vocab_size", where);
  description.check(where);
  return description;
}

bool CodesDescription::fits(const CodesDescription& other, std::string* why) const {
  std::string text;
  if (tokenizer.gives_codes_of(other.tokenizer, &text)) {
    const auto ours = to_metadata(), theirs = other.to_metadata();
    for (const char* key : {"sample_rate", "frame_rate", "hop_length", "codebooks", "vocab_size"}) {
      if (text.empty()) text = difference(key, ours.at(key), theirs.at(key));
    }
  }
  if (why) *why = text;
  return text.empty();
}

json options_to_json(const OptionMap& options) {
  json object = json::object();
  for (const auto& [name, value] : options) {
    object[name] = std::visit(
        [](const auto& held) -> json {
          if constexpr (std::is_same_v<std::decay_t<decltype(held)>,
                                       std::shared_ptr<const OptionMap>>) {
            return options_to_json(*held);
          } else {
            return held;
          }
        },
        value.base());
  }
  return object;
}

namespace {

OptionValue option_list(const json& list, const std::string& where) {
  bool are_integers = true;
  for (const auto& element : list) {
    GAMUT_CHECK(element.is_number(), where, ": it is a list that holds ", element.dump(),
                "; an option's list holds numbers");
    are_integers &= element.is_number_integer();
  }
  if (are_integers) return list.get<std::vector<int64_t>>();
  return list.get<std::vector<double>>();
}

OptionValue option_value(const json& value, const std::string& where) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) return option_list(value, where);
  GAMUT_CHECK(value.is_object(), where, ": it is ", value.dump(), ", which no option can be");
  return std::make_shared<const OptionMap>(options_from_json(value, where));
}

}  // namespace

OptionMap options_from_json(const json& object, const std::string& where) {
  OptionMap options;
  for (const auto& [name, value] : object.items()) {
    options.emplace(name, option_value(value, c10::str(where, ": option `", name, "`")));
  }
  return options;
}

}  // namespace gamut::data
