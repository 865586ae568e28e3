// Training of SentencePiece models: the layout of ids, what becomes of documents, refusals.
#include <gmock/gmock.h>

#include "sentencepiece_support.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Files in the folder, by name.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

TEST(SentencePieceTraining, HasTheOptionsOfParameterGolf) {
  const TemporaryFolder folder;
  train_sentencepiece(folder.path / "a.model", {});
  const auto tokenizer = sentencepiece_of(folder.path / "a.model");
  EXPECT_EQ(tokenizer->info().vocab_size, 512);
  EXPECT_EQ(tokenizer->info().special_ids,
            (std::map<std::string, int64_t>{{"pad", 0}, {"bos", 1}, {"eos", 2}, {"unk", 3}}));
  // Bytes are ids 4 to 259; no dummy prefix; digits apart; NFKC.
  EXPECT_EQ(ids_of(tokenizer->encode(std::string("\x01"))), std::vector<int64_t>{});
  EXPECT_EQ(ids_of(tokenizer->encode(std::string("東"))),
            (std::vector<int64_t>{4 + 0xE6, 4 + 0x9D, 4 + 0xB1}));
  EXPECT_EQ(ids_of(tokenizer->encode(std::string("12"))).size(), 2u);
  EXPECT_EQ(ids_of(tokenizer->encode(std::string("ﬁ"))),
            ids_of(tokenizer->encode(std::string("fi"))));
  const auto bytes = [&](const char* text) {
    const at::Tensor codes = tokenizer->encode(std::string(text)).flatten();
    const at::Tensor previous = at::cat({at::ones({1}, at::kLong), codes.slice(0, 0, -1)});
    return tokenizer->byte_counts(previous, codes).sum().item<int64_t>();
  };
  EXPECT_EQ(bytes("the an the"), 10);
}

TEST(SentencePieceTraining, IsDeterministic) {
  const TemporaryFolder folder;
  const OptionMap drawn = {{"input_sentence_size", OptionValue(int64_t{300})}};
  for (const char* name : {"a", "b"}) train_sentencepiece(folder.path / name, {});
  for (const char* name : {"c", "d"}) train_sentencepiece(folder.path / name, drawn);
  EXPECT_EQ(file_bytes(folder.path / "a"), file_bytes(folder.path / "b"));
  EXPECT_EQ(file_bytes(folder.path / "c"), file_bytes(folder.path / "d"));
  EXPECT_NE(file_bytes(folder.path / "a"), file_bytes(folder.path / "c"));
}

TEST(SentencePieceTraining, CleansDocumentsAndLeavesOutEmptyOnes) {
  const TemporaryFolder folder;
  auto documents = made_up_documents(800);
  train_sentencepiece(folder.path / "clean", {}, reading(documents));
  for (size_t i = 0; i < documents.size(); i += 7) documents[i] = "\n\t " + documents[i] + " \r\n";
  documents[3][documents[3].find(' ')] = '\0';
  documents.insert(documents.begin() + 5, {"", "  ", std::string(3, '\0')});
  train_sentencepiece(folder.path / "dirty", {}, reading(documents));
  EXPECT_EQ(file_bytes(folder.path / "clean"), file_bytes(folder.path / "dirty"));
}

TEST(SentencePieceTraining, LongDocumentsAreLeftOutOrSplit) {
  const TemporaryFolder folder;
  const auto documents = made_up_documents(800);
  std::string lines, one_line;
  for (const auto& document : documents) {
    lines += document + "\n";
    one_line += document + " ";
  }
  const OptionMap split = {{"long_documents", OptionValue(std::string("split"))}};
  EXPECT_THAT(error_of([&] { train_sentencepiece(folder.path / "x", {}, reading({lines})); }),
              HasSubstr("1 are longer than max_sentence_length"));
  EXPECT_THAT(names_in(folder.path), IsEmpty());
  train_sentencepiece(folder.path / "lines", split, reading({lines}));
  train_sentencepiece(folder.path / "one_line", split, reading({one_line}));
  EXPECT_EQ(sentencepiece_of(folder.path / "lines")->info().vocab_size, 512);
  EXPECT_EQ(sentencepiece_of(folder.path / "one_line")->info().vocab_size, 512);
  // Nothing but the long one is left out.
  auto with_long = documents;
  with_long.insert(with_long.begin(), lines);
  train_sentencepiece(folder.path / "some", {}, reading(with_long));
  train_sentencepiece(folder.path / "none", {}, reading(documents));
  EXPECT_EQ(file_bytes(folder.path / "some"), file_bytes(folder.path / "none"));
}

TEST(SentencePieceTraining, RefusesInWordsAndLeavesNoFile) {
  const TemporaryFolder folder;
  const auto refusal = [&](const OptionMap& options, std::vector<std::string> documents) {
    return error_of([&] {
      train_sentencepiece(folder.path / "x.model", options, reading(std::move(documents)));
    });
  };
  const auto size = [](int64_t value) { return OptionMap{{"vocab_size", OptionValue(value)}}; };
  EXPECT_THAT(refusal({}, {}), HasSubstr("there is no text to train on: 0 documents"));
  EXPECT_THAT(refusal({}, {" ", ""}), HasSubstr("there is no text to train on: 2 documents"));
  EXPECT_THAT(refusal(size(200), made_up_documents(10)),
              HasSubstr("no room for any piece of text"));
  EXPECT_THAT(refusal(size(265), made_up_documents(100)), HasSubstr("choose a `vocab_size`"));
  EXPECT_THAT(refusal({{"bos_id", OptionValue(int64_t{0})}}, made_up_documents(10)),
              HasSubstr("`bos_id` is 0, an id that another special piece has"));
  EXPECT_THAT(refusal({{"eos_id", OptionValue(int64_t{600})}}, made_up_documents(10)),
              HasSubstr("`eos_id` is 600, outside of a vocabulary of 512"));
  EXPECT_THAT(error_of([&] {
                train_sentencepiece(folder.path / "none" / "x.model", {},
                                    reading(made_up_documents(800)));
              }),
              HasSubstr("cannot write"));
  EXPECT_THAT(names_in(folder.path), IsEmpty());
}

TEST(SentencePieceTraining, PassesOnWhatReadingThrows) {
  const TemporaryFolder folder;
  int read = 0;
  const auto failing = [&](std::string& text) {
    if (++read > 50) throw Error("the disk is gone");
    text = "the preson and the loming";
    return true;
  };
  EXPECT_EQ(error_of([&] { train_sentencepiece(folder.path / "x", {}, failing); }),
            "the disk is gone");
  EXPECT_THAT(names_in(folder.path), IsEmpty());
}

}  // namespace
}  // namespace gamut
