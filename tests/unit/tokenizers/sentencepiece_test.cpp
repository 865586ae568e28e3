// SentencePiece: ids and bytes as Python's package has them, streaming against the library itself,
// refusals. tests/data/tokenizers/golf.model was trained with the options of Parameter Golf.
#include <ATen/ATen.h>
#include <gamut/identity.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <fstream>
#include <random>

#include "sentencepiece_support.h"

namespace gamut {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

const std::string kModel = GAMUT_SOURCE_DIR "/tests/data/tokenizers/golf.model";

Tokenizer& golf() {
  static auto& made = *sentencepiece_of(kModel).release();
  return made;
}

// Composed letters, a ligature, full-width and zero-width spaces, a fraction, bytes of characters
// that have no piece.
const std::string kText = "Kaloming the preson, 12 é½\n\nﬁne  東京 \u200bterü ";
const std::vector<int64_t> kIds = {79,  485, 326, 482, 495, 290, 286, 282, 505, 481,
                                   506, 507, 299, 506, 230, 133, 136, 507, 481, 106,
                                   309, 481, 234, 161, 181, 232, 190, 176, 272, 493};

TEST(SentencePiece, EncodesAndDecodesAsPythonDoes) {
  const auto info = golf().info();
  EXPECT_EQ(info.vocab_size, 512);
  EXPECT_EQ(info.codebooks, 1);
  EXPECT_EQ(info.special_ids,
            (std::map<std::string, int64_t>{{"pad", 0}, {"bos", 1}, {"eos", 2}, {"unk", 3}}));
  const auto codes = golf().encode(kText);
  EXPECT_THAT(codes.sizes(), ElementsAre(1, 30));
  EXPECT_THAT(ids_of(codes), ElementsAreArray(kIds));
  EXPECT_EQ(std::get<std::string>(golf().decode(codes)),
            "Kaloming the preson, 12 é1⁄2 fine 東京 terü");
  EXPECT_THAT(golf().encode(std::string()).sizes(), ElementsAre(1, 0));
  EXPECT_THAT(golf().encode(std::string(" \n ")).sizes(), ElementsAre(1, 0));
}

TEST(SentencePiece, SpecialIdsDecodeToNothingAndOthersAreRefused) {
  const auto decode = [](std::vector<int64_t> ids) {
    return std::get<std::string>(golf().decode(at::tensor(ids, at::kLong)));
  };
  EXPECT_EQ(decode({1, 79, 0, 485, 3, 2}), decode({79, 485}));
  EXPECT_EQ(decode({1, 2, 0, 3}), "");
  EXPECT_THAT(error_of([&] { decode({79, 512}); }), HasSubstr("id 512 at step 1 is outside"));
  EXPECT_THAT(error_of([&] { decode({-1}); }), HasSubstr("id -1 at step 0"));
  EXPECT_THAT(error_of([] { golf().decode(at::zeros({2, 3}, at::kLong)); }), HasSubstr("[2, 3]"));
  EXPECT_THAT(error_of([] { golf().encode(Audio{at::zeros({1, 4}), 8000}); }),
              HasSubstr("was given audio"));
}

std::vector<int64_t> counts(std::vector<int64_t> previous, std::vector<int64_t> target) {
  return ids_of(golf().byte_counts(at::tensor(previous, at::kLong), at::tensor(target, at::kLong)));
}

// The expected values are those of a Python program with the three rules of Parameter Golf.
TEST(SentencePiece, CountsBytesAsParameterGolfDoes) {
  std::vector<int64_t> previous = {1};
  previous.insert(previous.end(), kIds.begin(), kIds.end() - 1);
  const auto got = counts(previous, kIds);
  EXPECT_THAT(got, ElementsAre(1, 1, 4, 1, 1, 4, 4, 3, 1, 1, 1, 1, 3, 1, 1,  //
                               1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 4, 2));
  // Every id once, behind an id that is no boundary: 1485 bytes and 120 spaces.
  int64_t all = 0;
  for (int64_t id = 0; id < 512; ++id) all += counts({79}, {id})[0];
  EXPECT_EQ(all, 1485 + 120);
}

TEST(SentencePiece, ALeadingSpaceCountsBehindTextOnly) {
  constexpr int64_t kMark = 481, kSpaceAn = 264, kByte = 4 + 'K',
                    kBeyond = 5000;  // U+2581, U+2581 an
  EXPECT_THAT(counts({79, 485, kByte, kMark}, {kSpaceAn, kSpaceAn, kSpaceAn, kSpaceAn}),
              ElementsAre(3, 3, 3, 3));
  EXPECT_THAT(counts({0, 1, 2, 3, kBeyond}, {kSpaceAn, kSpaceAn, kSpaceAn, kSpaceAn, kSpaceAn}),
              ElementsAre(2, 2, 2, 2, 2))
      << "special ids and ids beyond the model are boundaries";
  EXPECT_THAT(counts({79, 1}, {kMark, kMark}), ElementsAre(1, 0));
  EXPECT_THAT(counts({79, 79, 79, 79, 79}, {0, 1, 2, 3, kBeyond}), ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(counts({79}, {kByte}), ElementsAre(1));
  EXPECT_THAT(error_of([] { counts({0, 0}, {0}); }), HasSubstr("as many previous ids as targets"));
  EXPECT_THAT(error_of([] { counts({-1}, {kSpaceAn}); }), HasSubstr("the id -1"));
}

TEST(SentencePiece, IsIdentifiedByItsModel) {
  auto* identity = static_cast<Identity*>(golf().query(Identity::kId));
  ASSERT_TRUE(identity);
  EXPECT_THAT(identity->identity()["model_sha256"], ::testing::MatchesRegex("[0-9a-f]{64}"));
  EXPECT_TRUE(golf().query("text.normalizes/1"));
}

TEST(SentencePiece, RefusesWhatIsNoModel) {
  EXPECT_THAT(error_of([] { sentencepiece_of("/nonexistent/x.model"); }),
              HasSubstr("cannot read the SentencePiece model `/nonexistent/x.model`; train one"));
  EXPECT_THAT(error_of([] { sentencepiece_of(GAMUT_SOURCE_DIR "/README.md"); }),
              HasSubstr("it is no SentencePiece model"));
  const TemporaryFolder folder;
  const std::string whole = file_bytes(kModel), cut = folder.path / "cut.model";
  for (const size_t size : {size_t{1}, size_t{300}, whole.size() / 2, whole.size() - 1}) {
    std::ofstream(cut, std::ios::binary) << whole.substr(0, size);
    EXPECT_THAT(error_of([&] { sentencepiece_of(cut); }), HasSubstr("no SentencePiece model"))
        << size;
  }
}

// ---- streaming

// Words, all kinds of white space, characters that rules join or drop, and broken UTF-8.
std::string random_text(std::mt19937& random, size_t parts) {
  static const std::vector<std::string> kParts = {
      " ",        " ",        "  ",     "\n", "\t", "\r\n",   "\u3000", "\u00a0", "\u200b", "a",
      "the",      "ka",       "preson", "12", "é",  "e",      "\u0301", "\u0308", "¨",      "ﷺ",
      "ﬁ",        "½",        "東京",   "가", "ᄀ", "ᅡ",      "\u2581", "<s>",    "<0x20>", "\xff",
      "\xe2\x82", "\xf0\x9f", "\xc3",   "🙂", ".",  "loming", "an",     "\u0345", "\u200d"};
  std::string text;
  for (size_t i = 0; i < parts; ++i) text += kParts[random() % kParts.size()];
  return text + std::string(random() % 2, '\0');
}

std::vector<int64_t> streamed(Tokenizer& tokenizer, const std::string& text, std::mt19937& random) {
  auto encoder = tokenizer.new_encoder();
  std::vector<int64_t> all;
  const auto add = [&](const at::Tensor& codes) {
    for (const int64_t id : ids_of(codes)) all.push_back(id);
  };
  for (size_t at = 0; at < text.size();) {
    const size_t count = 1 + random() % 7;
    add(encoder->push(text.substr(at, count)));
    at += count;
  }
  add(encoder->finish());
  return all;
}

void expect_exact_streaming(const std::string& model, int texts) {
  const auto tokenizer = sentencepiece_of(model);
  ::sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.Load(model).ok());
  std::mt19937 random(3);
  int refused = 0;
  for (int i = 0; i < texts; ++i) {
    const std::string text = random_text(random, 1 + random() % 40);
    std::vector<int> expected;
    if (!library.Encode(text, &expected).ok()) {  // model_type "word" cannot encode every text
      ++refused;
      continue;
    }
    ASSERT_THAT(streamed(*tokenizer, text, random), ElementsAreArray(expected)) << text;
    ASSERT_THAT(ids_of(tokenizer->encode(text)), ElementsAreArray(expected)) << text;
  }
  EXPECT_LT(refused, texts / 2);
}

TEST(SentencePieceStream, PiecesEqualTheWhole) {
  expect_exact_streaming(kModel, 3000);
}

// Rules that the cuts depend on, each changed in turn; unigram and words have no cuts at all.
class SentencePieceVariant : public ::testing::TestWithParam<OptionMap> {};
TEST_P(SentencePieceVariant, StreamsExactly) {
  const TemporaryFolder folder;
  train_sentencepiece(folder.path / "m.model", GetParam());
  expect_exact_streaming(folder.path / "m.model", 600);
}
const OptionValue kNo(false), kYes(true);
INSTANTIATE_TEST_SUITE_P(
    Options, SentencePieceVariant,
    ::testing::Values(OptionMap{{"remove_extra_whitespaces", kNo}},
                      OptionMap{{"remove_extra_whitespaces", kNo}, {"add_dummy_prefix", kYes}},
                      OptionMap{{"add_dummy_prefix", kYes}},
                      OptionMap{{"byte_fallback", kNo}, {"character_coverage", OptionValue(0.98)}},
                      OptionMap{{"normalization_rule_name", OptionValue(std::string("identity"))}},
                      OptionMap{{"normalization_rule_name", OptionValue(std::string("nfkc_cf"))}},
                      OptionMap{{"model_type", OptionValue(std::string("char"))}},
                      OptionMap{{"model_type", OptionValue(std::string("unigram"))}},
                      OptionMap{{"model_type", OptionValue(std::string("word"))}}));

TEST(SentencePieceStream, GivesIdsAsSoonAsTheyAreCertain) {
  auto encoder = golf().new_encoder();
  EXPECT_EQ(encoder->push(std::string("the")).size(1), 0);
  EXPECT_EQ(encoder->push(std::string(" preson")).size(1),
            golf().encode(std::string("the")).size(1));
  EXPECT_GT(encoder->finish().size(1), 0);
}

TEST(SentencePieceStream, TextBeyondABlockIsThatOfTheLibrary) {
  std::string text;
  std::mt19937 random(5);
  while (text.size() < 150'000) text += random_text(random, 50);
  ::sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.Load(kModel).ok());
  EXPECT_TRUE(at::equal(golf().encode(text).flatten(),
                        at::tensor(library.EncodeAsIds(text)).to(at::kLong)));
}

}  // namespace
}  // namespace gamut
