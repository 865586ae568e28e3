// byte260: ids, repair of invalid UTF-8 as Python does it, streaming, byte counts.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "plugin_host/registry.h"

namespace gamut {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tokenizer& bytes() {
  static auto* made = [] {
    host::SearchPath path;
    path.entries = {GAMUT_BUILD_DIR "/lib/gamut/plugins"};
    return (new host::Registry(path))->create_tokenizer("bytes", {}).release();
  }();
  return *made;
}

std::vector<int64_t> ids(const at::Tensor& codes) {
  return {codes.data_ptr<int64_t>(), codes.data_ptr<int64_t>() + codes.numel()};
}

std::string round_trip(const std::string& text) {
  return std::get<std::string>(bytes().decode(bytes().encode(text)));
}

TEST(Bytes, HasTheLayoutOfByte260) {
  const auto info = bytes().info();
  EXPECT_EQ(info.vocab_size, 260);
  EXPECT_EQ(info.codebooks, 1);
  EXPECT_FALSE(info.is_audio);
  EXPECT_EQ(info.special_ids,
            (std::map<std::string, int64_t>{{"pad", 0}, {"bos", 1}, {"eos", 2}, {"unk", 3}}));
  const auto codes = bytes().encode(std::string("A\xC3\xA9\n"));
  EXPECT_THAT(codes.sizes(), ElementsAre(1, 4));
  EXPECT_THAT(ids(codes), ElementsAre(4 + 65, 4 + 0xC3, 4 + 0xA9, 4 + 10));
  EXPECT_THAT(bytes().encode(std::string()).sizes(), ElementsAre(1, 0));
}

// Right-hand sides are what Python's bytes.decode("utf-8", errors="replace") gives.
TEST(Bytes, ReplacesInvalidTextAsPythonDoes) {
  const std::string r = "\xEF\xBF\xBD";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"plain, \xC3\xA9, \xE2\x82\xAC, \xF0\x9F\x98\x80",
       "plain, \xC3\xA9, \xE2\x82\xAC, \xF0\x9F\x98\x80"},
      {"a\xFFz", "a" + r + "z"},
      {"\x80", r},
      {"\xC0\xAF", r + r},                       // overlong
      {"\xE0\x80\xAF", r + r + r},               // overlong
      {"\xE2\x82", r},                           // cut
      {"\xE2\x82z", r + "z"},                    // cut by another byte
      {"\xE2\xE2\x82\xAC", r + "\xE2\x82\xAC"},  // cut by a beginning
      {"\xED\xA0\x80", r + r + r},               // surrogate
      {"\xF4\x90\x80\x80", r + r + r + r},       // beyond U+10FFFF
      {"\xF0\x9F\x98", r},
      {"\xF0\x80\x80\x80", r + r + r + r},
      {"\xF5", r},
      {std::string("\0", 1), std::string("\0", 1)},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(round_trip(text), expected);
}

TEST(Bytes, StreamsInPiecesOfAnySize) {
  const std::string text = "x\xE2\x82\xAC\xF0\x9F\x98\x80\xFF\xE2\x82y\xED\xA0\x80\xC3";
  const auto whole = ids(bytes().encode(text));
  for (size_t size = 1; size <= text.size(); ++size) {
    auto encoder = bytes().new_encoder();
    std::vector<int64_t> streamed;
    const auto append = [&](const at::Tensor& codes) {
      for (int64_t id : ids(codes)) streamed.push_back(id);
    };
    for (size_t i = 0; i < text.size(); i += size) append(encoder->push(text.substr(i, size)));
    append(encoder->finish());
    EXPECT_EQ(streamed, whole) << size;
  }
}

TEST(Bytes, DecodesSpecialIdsToNothingAndRefusesOthers) {
  const auto decode = [](std::vector<int64_t> codes) {
    return std::get<std::string>(bytes().decode(at::tensor(codes, at::kLong)));
  };
  EXPECT_EQ(decode({1, 4 + 'h', 0, 2, 3, 4 + 'i'}), "hi");
  EXPECT_EQ(decode({4 + 0xFF}), "\xFF") << "what a model made is not repaired";
  for (const int64_t bad : {-1, 260}) {
    try {
      decode({5, bad});
      ADD_FAILURE() << bad << " was accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(c10::str("id ", bad, " at step 1")));
    }
  }
  EXPECT_THROW(bytes().decode(at::zeros({2, 3}, at::kLong)), Error);
  EXPECT_THROW(bytes().decode(at::zeros({3})), Error);
}

TEST(Bytes, CountsOneByteForEachButSpecialTargets) {
  const auto previous = at::tensor(std::vector<int64_t>{9, 9, 1, 9, 9}, at::kLong);
  const auto target = at::tensor(std::vector<int64_t>{0, 1, 4, 259, 3}, at::kLong);
  EXPECT_THAT(ids(bytes().byte_counts(previous, target)), ElementsAre(0, 0, 1, 1, 0));
  EXPECT_THROW(bytes().byte_counts(previous.slice(0, 0, 2), target), Error);
}

TEST(Bytes, RefusesAudio) {
  EXPECT_THROW(bytes().encode(Audio{at::zeros({1, 4}), 8000}), Error);
}

}  // namespace
}  // namespace gamut
