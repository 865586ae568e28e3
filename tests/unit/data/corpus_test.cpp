// Text documents to shards: what is found, skipped, split and reused.
#include "data/corpus.h"

#include <zlib.h>

#include "data/corpus_split.h"
#include "data/documents.h"
#include "support.h"

namespace gamut::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One token a byte, its value plus `offset`; 1 begins a document.
class ByteTokenizer final : public Tokenizer {
 public:
  explicit ByteTokenizer(int64_t offset = 4, bool has_bos = true)
      : offset_(offset), has_bos_(has_bos) {}
  TokenizerInfo info() const override {
    TokenizerInfo info;
    info.vocab_size = 300;
    if (has_bos_) info.special_ids = {{"bos", 1}};
    return info;
  }
  at::Tensor encode(const RawData& data) override {
    const auto& text = std::get<std::string>(data);
    at::Tensor codes = at::empty({1, static_cast<int64_t>(text.size())}, at::kLong);
    for (size_t i = 0; i < text.size(); ++i) {
      codes.data_ptr<int64_t>()[i] = static_cast<uint8_t>(text[i]) + offset_;
    }
    return codes;
  }
  RawData decode(const at::Tensor&) override { return std::string(); }
  std::unique_ptr<StreamEncoder> new_encoder() override {
    struct Encoder final : StreamEncoder {
      explicit Encoder(ByteTokenizer& t) : tokenizer(t) {}
      at::Tensor push(const RawData& piece) override { return tokenizer.encode(piece); }
      at::Tensor finish() override { return at::empty({1, 0}, at::kLong); }
      ByteTokenizer& tokenizer;
    };
    return std::make_unique<Encoder>(*this);
  }
  at::Tensor byte_counts(const at::Tensor&, const at::Tensor& target) override {
    return at::ones_like(target);
  }

 private:
  int64_t offset_;
  bool has_bos_;
};

std::string gzipped(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

class Corpora : public InFolder {
 protected:
  Corpus prepare(double validation = 0.3, uint64_t seed = 0) {
    options_.source = options_.source.empty() ? folder_ / "text" : options_.source;
    options_.cache = folder_ / "cache";
    options_.tokenizer_name = "test";
    options_.tokenizer_version = "1";
    options_.validation = validation;
    options_.seed = seed;
    return prepare_corpus(options_, tokenizer_);
  }
  // The documents of these shards, as text.
  static std::vector<std::string> documents(const std::vector<fs::path>& files) {
    const TokenSet set(files);
    std::vector<int64_t> ids(static_cast<size_t>(set.size()));
    set.read(0, set.size(), ids.data());
    std::vector<std::string> texts;
    for (int64_t id : ids) {
      if (id == 1) {
        texts.emplace_back();
      } else {
        texts.back() += static_cast<char>(id - 4);
      }
    }
    return texts;
  }
  size_t folders_in_cache() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_ / "cache"), {}));
  }

  ByteTokenizer tokenizer_;
  CorpusOptions options_;
};

TEST_F(Corpora, TakeTextPlainAndPackedSortedByNameAndSkipTheRest) {
  write("text/b.md", "second");
  write("text/a/x.txt", "first");
  write("text/c.rst.gz", gzipped("third"));
  write("text/d.png", "no text by its name");
  write("text/.git/e.txt", "hidden");
  write("text/f.txt", std::string("bin\0ary", 7));
  write("text/g.txt", "caf\xE9 in Latin-1");
  write("text/h.txt", "");
  const Corpus corpus = prepare(0);
  EXPECT_THAT(documents(corpus.train), ElementsAre("first", "second", "third"));
  EXPECT_TRUE(corpus.validation.empty());
  EXPECT_EQ(corpus.manifest["skipped"].size(), 2u);
  EXPECT_THAT(corpus.manifest["skipped"][0].get<std::string>(), HasSubstr("f.txt is binary"));
  EXPECT_THAT(corpus.manifest["skipped"][1].get<std::string>(), HasSubstr("g.txt is not UTF-8"));
  EXPECT_EQ(corpus.manifest["train"]["bytes"], 16);
  EXPECT_EQ(corpus.manifest["train"]["tokens"], 19);
}

TEST_F(Corpora, SplitByDocumentStablyAndLeaveNoSideEmpty) {
  for (int i = 0; i < 40; ++i) write(c10::str("text/", i, ".txt"), c10::str("document ", i));
  const auto held = documents(prepare(0.25).validation);
  EXPECT_GT(held.size(), 3u);
  EXPECT_LT(held.size(), 20u);
  EXPECT_EQ(held.size() + documents(prepare(0.25).train).size(), 40u);
  EXPECT_NE(documents(prepare(0.25, 1).validation), held) << "the seed chooses others";
  write("text/new.txt", "new");
  for (const auto& text : documents(prepare(0.25).validation)) {
    EXPECT_TRUE(text == "new" || std::count(held.begin(), held.end(), text) == 1) << text;
  }
  EXPECT_EQ(documents(prepare(1e-9).validation).size(), 1u);
  EXPECT_EQ(documents(prepare(1 - 1e-9).train).size(), 1u);
}

TEST_F(Corpora, CutASingleFileAtALineEnd) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += c10::str("line ", i, "\n");
  options_.source = write("book.data", text);
  const Corpus corpus = prepare(0.1);
  const auto train = documents(corpus.train), held = documents(corpus.validation);
  ASSERT_EQ(train.size(), 1u);
  ASSERT_EQ(held.size(), 1u);
  EXPECT_EQ(train[0] + held[0], text);
  EXPECT_EQ(train[0].back(), '\n');
  EXPECT_NEAR(static_cast<double>(held[0].size()), 0.1 * static_cast<double>(text.size()), 10);
}

TEST_F(Corpora, CutASingleFileOfOneLineAnywhere) {
  options_.source = write("line.txt", std::string(1000, 'x') + "\n");
  EXPECT_EQ(documents(prepare(0.1).validation)[0].size(), 101u);
}

TEST_F(Corpora, AreReusedUntilAnythingTheyDependOnChanges) {
  write("text/a.txt", "one");
  write("text/b.txt", "two");
  const Corpus first = prepare();
  EXPECT_FALSE(first.reused);
  const Corpus again = prepare();
  EXPECT_TRUE(again.reused);
  EXPECT_EQ(again.train, first.train);
  EXPECT_EQ(again.manifest, first.manifest);
  EXPECT_FALSE(prepare(0.4).reused);
  EXPECT_FALSE(prepare(0.3, 9).reused);
  tokenizer_ = ByteTokenizer(5);
  EXPECT_FALSE(prepare().reused) << "same name and size, other tokens";
  tokenizer_ = ByteTokenizer(4);
  EXPECT_TRUE(prepare().reused);
  write("text/b.txt", "changed");
  EXPECT_FALSE(prepare().reused);
}

TEST_F(Corpora, AreMadeAgainWhenDamaged) {
  write("text/a.txt", "one");
  write("text/b.txt", "two");
  const Corpus first = prepare();
  fs::resize_file(first.train[0], fs::file_size(first.train[0]) - 1);
  const Corpus second = prepare();
  EXPECT_FALSE(second.reused);
  EXPECT_EQ(documents(second.train).size(), 1u);
  fs::remove(second.validation[0]);
  EXPECT_FALSE(prepare().reused);
  std::ofstream(second.train[0].parent_path() / "manifest.json") << "{";
  EXPECT_FALSE(prepare().reused);
  EXPECT_TRUE(prepare().reused);
  EXPECT_EQ(folders_in_cache(), 1u) << "no temporary folders are left";
}

TEST_F(Corpora, LeaveNothingBehindWhenMakingThemFails) {
  write("text/a.txt", "one");
  write("text/b.txt", "two");
  options_.progress = [](int64_t, int64_t, int64_t) { throw Error("stop"); };
  EXPECT_EQ(sentence_of([&] { prepare(); }), "stop");
  EXPECT_EQ(folders_in_cache(), 0u);
}

TEST_F(Corpora, ReportProgress) {
  for (int i = 0; i < 3; ++i) write(c10::str("text/", i, ".txt"), "12345");
  std::vector<int64_t> done, bytes;
  options_.progress = [&](int64_t d, int64_t all, int64_t b) {
    EXPECT_EQ(all, 3);
    done.push_back(d), bytes.push_back(b);
  };
  prepare();
  EXPECT_THAT(done, ElementsAre(0, 1, 2));
  EXPECT_THAT(bytes, ElementsAre(5, 10, 15));
}

TEST_F(Corpora, RefuseSourcesInWords) {
  options_.source = folder_ / "absent";
  EXPECT_THAT(sentence_of([&] { prepare(); }), HasSubstr("no file or folder"));
  fs::create_directories(folder_ / "text");
  options_.source = folder_ / "text";
  EXPECT_THAT(sentence_of([&] { prepare(); }), HasSubstr("holds no text"));
  write("text/a.txt", std::string("\0", 1));
  EXPECT_THAT(sentence_of([&] { prepare(); }), AllOf(HasSubstr("no text"), HasSubstr("binary")));
  write("text/a.txt", "fine");
  EXPECT_THAT(sentence_of([&] { prepare(1.0); }), HasSubstr("below 1, got 1"));
  tokenizer_ = ByteTokenizer(4, false);
  EXPECT_THAT(sentence_of([&] { prepare(); }), HasSubstr("no `bos` id"));
}

TEST_F(Corpora, TruncatedGzipIsSkippedEarlyAndFailsLate) {
  write("text/a.txt", "fine");
  write("text/b.txt.gz", gzipped(std::string(100, 'x')).substr(0, 15));
  EXPECT_THAT(prepare(0).manifest["skipped"][0].get<std::string>(), HasSubstr("b.txt.gz"));
  std::string noise;
  for (int i = 0; i < 40'000; ++i) noise += c10::str(i * 7919 % 10'007, ' ');
  const std::string packed = gzipped(noise);
  write("text/b.txt.gz", packed.substr(0, packed.size() - 20));
  EXPECT_THAT(sentence_of([&] { prepare(0); }), HasSubstr("truncated"));
}

}  // namespace
}  // namespace gamut::data
