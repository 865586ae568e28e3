// Hostile safetensors files: one for every rule of the format, truncations, flipped bits, floods.
// The answer is always a sentence, never a crash, a hang, wrong memory or a silent acceptance.
#include <chrono>

#include "checkpoint/json_text.h"
#include "checkpoint/safetensors.h"
#include "support.h"

namespace gamut::checkpoint {
namespace {

using testing::HasSubstr;

std::string length_bytes(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

// A file of this header and this much data.
std::string file_of(const std::string& header, size_t data = 0) {
  return length_bytes(header.size()) + header + std::string(data, '\1');
}

// A header of one tensor "a" with these fields.
std::string one(const std::string& fields) {
  return R"({"a":{)" + fields + "}}";
}

std::string refusal(const std::string& bytes) {
  return error_of([&] {
    parse_safetensors_header(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(),
                             "evil.safetensors");
  });
}

struct Attack {
  const char* what;
  std::string bytes;
  const char* expected;  // in the message
};

const std::string kGood = R"("dtype":"U8","shape":[2],"data_offsets":[0,2])";

const Attack kAttacks[] = {
    {"empty file", "", "0 bytes, fewer than the 8"},
    {"seven bytes", "1234567", "7 bytes, fewer than the 8"},
    {"length beyond the file", length_bytes(3) + "{}", "claims 3 bytes and only 2"},
    {"length of all ones", length_bytes(~0ULL) + "{}", "more than the limit"},
    {"length over the limit", length_bytes(100'000'001) + "{}", "more than the limit"},
    {"length that wraps the file's size", length_bytes(~0ULL - 7) + "{}", "more than the limit"},
    {"no header", length_bytes(0), "does not start with `{`"},
    {"leading space", file_of(" {}"), "does not start with `{`"},
    {"byte order mark", file_of("\xef\xbb\xbf{}"), "does not start with `{`"},
    {"a list", file_of("[]"), "does not start with `{`"},
    {"trailing newline", file_of("{}\n"), "neither `}` nor spaces at byte 10"},
    {"trailing tab", file_of("{}\t "), "neither `}` nor spaces"},
    {"trailing zeros", file_of(std::string("{}\0\0", 4)), "neither `}` nor spaces"},
    {"hidden behind a zero", file_of(std::string("{}\0{}", 5)), "zero byte"},
    {"second object", file_of("{}{}"), "no valid JSON"},
    {"cut JSON", file_of(R"({"a":})"), "no valid JSON"},
    {"trailing comma", file_of(one(kGood + ","), 2), "no valid JSON"},
    {"comment", file_of("{/**/}"), "no valid JSON"},
    {"invalid UTF-8", file_of("{\"\xff\":{}}"), "no valid JSON"},
    {"overlong UTF-8", file_of("{\"\xc0\xae\":{}}"), "no valid JSON"},
    {"lone surrogate", file_of(R"({"\ud800":{}})"), "no valid JSON"},
    {"two tensors of one name", file_of(R"({"a":{)" + kGood + R"(},"a":{)" + kGood + "}}", 2),
     "`a` appears twice"},
    {"one name spelt twice", file_of(R"({"a":{)" + kGood + R"(},"\u0061":{)" + kGood + "}}", 2),
     "`a` appears twice"},
    {"two metadata", file_of(R"({"__metadata__":{},"__metadata__":{}})"), "appears twice"},
    {"metadata key twice", file_of(R"({"__metadata__":{"k":"1","k":"2"}})"),
     "metadata `k` appears twice"},
    {"metadata of a number", file_of(R"({"__metadata__":{"k":1}})"), "metadata `k` holds a number"},
    {"metadata of an object", file_of(R"({"__metadata__":{"k":{}}})"),
     "metadata `k` holds an object"},
    {"metadata of null", file_of(R"({"__metadata__":{"k":null}})"), "metadata `k` holds null"},
    {"metadata as a list", file_of(R"({"__metadata__":[]})"), "holds a list as `__metadata__`"},
    {"tensor as a number", file_of(R"({"a":1})"), "holds a number as `a`"},
    {"tensor as a string", file_of(R"({"a":"U8"})"), "holds a string as `a`"},
    {"tensor as true", file_of(R"({"a":true})"), "holds true or false as `a`"},
    {"no dtype", file_of(one(R"("shape":[2],"data_offsets":[0,2])"), 2), "has no `dtype`"},
    {"no shape", file_of(one(R"("dtype":"U8","data_offsets":[0,2])"), 2), "has no `shape`"},
    {"no offsets", file_of(one(R"("dtype":"U8","shape":[2])"), 2), "has no `data_offsets`"},
    {"unknown field", file_of(one(kGood + R"(,"strides":[1])"), 2), "unknown field `strides`"},
    {"field twice", file_of(one(kGood + R"(,"dtype":"I8")"), 2), "has `dtype` twice"},
    {"unknown dtype", file_of(one(R"("dtype":"Q8","shape":[2],"data_offsets":[0,2])"), 2),
     "unknown dtype `Q8`"},
    {"dtype in small letters", file_of(one(R"("dtype":"u8","shape":[2],"data_offsets":[0,2])"), 2),
     "unknown dtype `u8`"},
    {"dtype as a number", file_of(one(R"("dtype":8,"shape":[2],"data_offsets":[0,2])"), 2),
     "a number in dtype"},
    {"shape as a number", file_of(one(R"("dtype":"U8","shape":2,"data_offsets":[0,2])"), 2),
     "a number in shape"},
    {"nested shape", file_of(one(R"("dtype":"U8","shape":[[2]],"data_offsets":[0,2])"), 2),
     "a list in shape"},
    {"negative size", file_of(one(R"("dtype":"U8","shape":[-2],"data_offsets":[0,2])"), 2),
     "negative number -2"},
    {"fractional size", file_of(one(R"("dtype":"U8","shape":[2.0],"data_offsets":[0,2])"), 2),
     "2.0 in shape"},
    {"exponent size", file_of(one(R"("dtype":"U8","shape":[2e0],"data_offsets":[0,2])"), 2),
     "2e0 in shape"},
    {"size over 63 bits",
     file_of(one(R"("dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,2])"), 2),
     "dimension of 9223372036854775808"},
    {"size over 64 bits",
     file_of(one(R"("dtype":"U8","shape":[18446744073709551618],"data_offsets":[0,2])"), 2),
     "no whole number of 64 bits"},
    {"product overflows to the right size",
     file_of(one(R"("dtype":"U8","shape":[4294967296,4294967296,2],"data_offsets":[0,0])")),
     "overflows"},
    {"bytes overflow",
     file_of(one(R"("dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0])")),
     "overflows"},
    {"empty tensor whose strides overflow",
     file_of(one(R"("dtype":"U8","shape":[0,4294967296,4294967296,2],"data_offsets":[0,0])")),
     "overflows"},
    {"too many dimensions",
     file_of(
         one(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1])"),
         1),
     "more than 64 dimensions"},
    {"one offset", file_of(one(R"("dtype":"U8","shape":[2],"data_offsets":[0])"), 2),
     "one data_offset or none"},
    {"three offsets", file_of(one(R"("dtype":"U8","shape":[2],"data_offsets":[0,2,2])"), 2),
     "more than two data_offsets"},
    {"negative offset", file_of(one(R"("dtype":"U8","shape":[2],"data_offsets":[-1,1])"), 2),
     "negative number -1"},
    {"ends before it begins", file_of(one(R"("dtype":"U8","shape":[2],"data_offsets":[2,0])"), 2),
     "before it begins at 2"},
    {"end beyond the file", file_of(one(R"("dtype":"U8","shape":[3],"data_offsets":[0,3])"), 2),
     "there are 2 bytes of data"},
    {"end of 64 bits",
     file_of(one(R"("dtype":"U8","shape":[2],"data_offsets":[0,18446744073709551615])"), 2),
     "there are 2 bytes of data"},
    {"size and shape differ", file_of(one(R"("dtype":"U16","shape":[2],"data_offsets":[0,2])"), 2),
     "ask for 4"},
    {"half a byte", file_of(one(R"("dtype":"F4","shape":[3],"data_offsets":[0,2])"), 2),
     "whole bytes"},
    {"six bits", file_of(one(R"("dtype":"F6_E2M3","shape":[3],"data_offsets":[0,2])"), 2),
     "whole bytes"},
    {"hole in front", file_of(one(R"("dtype":"U8","shape":[2],"data_offsets":[1,3])"), 3),
     "with a hole after"},
    {"hole behind", file_of(one(kGood), 3), "end at data offset 2 and there are 3 bytes"},
    {"data without tensors", file_of("{}", 1), "end at data offset 0 and there are 1 bytes"},
    {"overlap",
     file_of(R"({"a":{)" + kGood + R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3),
     "inside of"},
    {"same bytes twice", file_of(R"({"a":{)" + kGood + R"(},"b":{)" + kGood + "}}", 2),
     "inside of"},
};

TEST(Attacks, EveryRuleHasItsSentence) {
  for (const Attack& attack : kAttacks) {
    const std::string message = refusal(attack.bytes);
    EXPECT_THAT(message, HasSubstr(attack.expected)) << attack.what;
    EXPECT_THAT(message, HasSubstr("evil.safetensors")) << attack.what;
    EXPECT_LT(message.size(), 300U) << attack.what;
  }
}

TEST(Attacks, WhatTheFormatAllowsIsNoAttack) {
  const std::string allowed[] = {
      file_of("{}"),
      file_of("{}      "),
      file_of(R"({"__metadata__":{}})"),
      file_of(R"({ "a" : { "data_offsets":[0,2], "shape":[2], "dtype":"U8" } } )", 2),
      file_of(one(R"("dtype":"F4","shape":[4],"data_offsets":[0,2])"), 2),
      file_of(one(R"("dtype":"F64","shape":[7,0],"data_offsets":[0,0])")),
      file_of(R"({"e":{"dtype":"F64","shape":[0],"data_offsets":[2,2]},"a":{)" + kGood + "}}", 2),
      file_of(R"({"":{)" + kGood + "}}", 2),
  };
  for (const auto& bytes : allowed) {
    EXPECT_NO_THROW(parse_safetensors_header(reinterpret_cast<const uint8_t*>(bytes.data()),
                                             bytes.size(), "fine"))
        << bytes.substr(8);
  }
}

class AttackFiles : public FolderTest {
 protected:
  NamedTensors some_tensors() {
    return {{"weight", at::arange(12, at::kFloat).reshape({3, 4})},
            {"mask", at::ones({2}, at::kBool)},
            {"step", at::tensor(5, at::kLong)}};
  }
};

TEST_F(AttackFiles, DeepNestingAndFloodsEndQuickly) {
  const auto start = std::chrono::steady_clock::now();
  std::string deep(5'000'000, '[');
  EXPECT_THAT(refusal(file_of("{\"a\":" + deep + "}")), HasSubstr("holds a list as `a`"));
  // The overlap bomb of the reference's tests: many tensors over the same bytes.
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i) {
    header += c10::str(i ? "," : "", "\"t", i,
                       R"(":{"dtype":"U8","shape":[1000],"data_offsets":[0,1000]})");
  }
  EXPECT_THAT(refusal(file_of(header + "}", 1000)), HasSubstr("inside of"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_F(AttackFiles, TypesWithoutATensorAreRefusedOnLoad) {
  write_bytes(folder_ / "t", file_of(one(R"("dtype":"F4","shape":[4],"data_offsets":[0,2])"), 2));
  EXPECT_THAT(error_of([&] { read_safetensors(folder_ / "t"); }),
              HasSubstr("LibTorch has no type"));
}

TEST_F(AttackFiles, BooleansOtherThanZeroAndOneAreRefused) {
  std::string bytes = file_of(one(R"("dtype":"BOOL","shape":[2],"data_offsets":[0,2])"), 2);
  bytes.back() = '\2';
  write_bytes(folder_ / "t", bytes);
  EXPECT_THAT(error_of([&] { read_safetensors(folder_ / "t"); }),
              HasSubstr("holds the byte 2 at data offset 1"));
}

TEST_F(AttackFiles, EveryTruncationIsRefused) {
  write_safetensors(folder_ / "t", some_tensors());
  const std::string bytes = read_bytes(folder_ / "t");
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(refusal(bytes.substr(0, size)), "") << size << " of " << bytes.size() << " bytes";
  }
  EXPECT_NE(refusal(bytes + '\0'), "");
}

// The format has no checksum, so a flipped bit may give another valid file: it must then be
// readable as a whole.
TEST_F(AttackFiles, EveryFlippedBitIsRefusedOrReadable) {
  write_safetensors(folder_ / "t", some_tensors());
  const std::string good = read_bytes(folder_ / "t");
  int refused = 0;
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    write_bytes(folder_ / "flipped", bytes);
    try {
      for (const auto& entry : read_safetensors(folder_ / "flipped")) entry.tensor.clone();
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000) << "most of the header's bits matter";
}

TEST(JsonText, IsReadStrictly) {
  auto words = [](std::string_view text) { return error_of([&] { parse_json(text, "file"); }); };
  EXPECT_THAT(words(R"({"a":1,"b":{"c":1,"c":2}})"), HasSubstr("the key `c` twice"));
  EXPECT_THAT(words(std::string_view("{}\0{}", 5)), HasSubstr("zero byte at byte 2"));
  EXPECT_THAT(words("{} x"), HasSubstr("no valid JSON"));
  EXPECT_THAT(words(""), HasSubstr("no valid JSON"));
  EXPECT_THAT(words("[\"\xff\"]"), HasSubstr("no valid JSON"));
  EXPECT_THAT(words(std::string(1'000'000, '[')), HasSubstr("nested deeper"));
  EXPECT_EQ(parse_json(R"([{"a":1},{"a":2}])", "file").size(), 2U);
}

}  // namespace
}  // namespace gamut::checkpoint
