// What the codes of a shard are: which tokenizer made them and how they relate to time. It is the
// same in all shards of a set, and stands in the metadata of each.
#pragma once

#include <gamut/options.h>
#include <gamut/tokenizer.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace gamut::data {

// A tokenizer as it is recorded beside its codes, enough to make it again.
struct TokenizerRecord {
  std::string name;     // "dac"
  std::string version;  // of the plugin
  nlohmann::json options = nlohmann::json::object();
  std::map<std::string, std::string> identity;  // see gamut/identity.h

  // `version` as the registry has it, `options` those that `tokenizer` was made with.
  static TokenizerRecord of(Tokenizer& tokenizer, std::string name, std::string version,
                            const OptionMap& options);

  nlohmann::json to_json() const;
  // Throws gamut::Error that begins with `where`.
  static TokenizerRecord from_json(const nlohmann::json& json, const std::string& where);

  // Whether both give the same codes: name, version and identity are equal, and without an identity
  // the options. Otherwise `why` says, "the tokenizers differ in weights_sha256: … and …".
  bool gives_codes_of(const TokenizerRecord& other, std::string* why = nullptr) const;
};

struct CodesDescription {
  TokenizerRecord tokenizer;
  int64_t sample_rate = 0;  // Hz of the audio that was encoded
  double frame_rate = 0;    // frames a second
  int64_t hop_length = 0;   // samples from the start of a frame to the start of the next
  int64_t codebooks = 1;
  int64_t vocab_size = 0;  // codes lie in [0, vocab_size)

  // Of a tokenizer of audio; throws gamut::Error for one of text.
  static CodesDescription of(Tokenizer& tokenizer, TokenizerRecord record);

  // Throws gamut::Error for what no shard can hold.
  void check(const std::string& where) const;

  // The strings of a shard's metadata.
  std::map<std::string, std::string> to_metadata() const;
  static CodesDescription from_metadata(const std::map<std::string, std::string>& metadata,
                                        const std::string& where);

  // Whether codes of both can be mixed; otherwise `why` says what differs.
  bool fits(const CodesDescription& other, std::string* why = nullptr) const;
};

// Option values as JSON and back. Whole numbers are integers, lists are of integers if all their
// elements are; throws gamut::Error for null and for lists of anything but numbers.
nlohmann::json options_to_json(const OptionMap& options);
OptionMap options_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace gamut::data
