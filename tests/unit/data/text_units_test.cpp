// Units of text: cut anywhere, they hold the same documents; Parquet through its tool; children.
#include "data/prepare/text_units.h"

#include <gamut/error.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/fetch/stream_digest.h"
#include "data/prepare/child_output.h"
#include "data/prepare/parquet_documents.h"
#include "data/prepare/text_work.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kParquet = fs::path(GAMUT_SOURCE_DIR) / "tests/data/text/documents.parquet";

bool has_parquet() {
  return fs::exists(fs::read_symlink("/proc/self/exe").parent_path() / "gamut-parquet-text");
}

class TextUnits : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "text_units";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }

  // Lines of JSON of growing length, with blank lines and one that is no JSON between them.
  TextFileName lines(const std::string& name, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      const std::string document = name + std::string(static_cast<size_t>(i) * 7 % 50, 'x');
      documents_.push_back(document);
      text += nlohmann::json{{"text", document}}.dump() + (i % 5 == 0 ? "\n\n" : "\n");
      if (i == 3) text += "no JSON\n";
    }
    if (!text.empty()) text.pop_back();  // the last line has no end
    const fs::path path = folder_ / name;
    if (name.size() > 3 && name.substr(name.size() - 3) == ".gz") {
      const gzFile file = gzopen(path.c_str(), "wb");
      gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
      gzclose(file);
    } else {
      std::ofstream(path, std::ios::binary) << text;
    }
    return {path, name};
  }

  fs::path folder_;
  std::vector<std::string> documents_;
};

struct Found {
  std::vector<std::string> texts, keys, splits;
};

Found read_all(const std::vector<Unit>& units) {
  Found found;
  for (const Unit& unit : units) {
    const auto source = open_documents(unit);
    while (source->next()) {
      found.keys.push_back(source->key());
      found.splits.push_back(unit.split);
      std::string text;
      for (std::string piece = source->read(10); !piece.empty(); piece = source->read(10)) {
        text += piece;
      }
      found.texts.push_back(text);
    }
  }
  return found;
}

std::string message_of(const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(TextUnits, AnyCutOfLinesHoldsTheSameDocumentsUnderTheSameKeys) {
  const std::vector<TextFileName> files = {lines("a.jsonl", 40), lines("b.jsonl.gz", 9),
                                           lines("c.NDJSON", 3)};
  const Found whole = read_all(list_text_units(files, {"text", 1 << 20, 0}));
  EXPECT_EQ(whole.texts, documents_);
  for (const int64_t bytes : {1, 7, 30, 64, 100, 1000}) {
    const auto units = list_text_units(files, {"text", bytes, 0});
    const Found cut = read_all(units);
    EXPECT_EQ(cut.texts, documents_) << bytes;
    EXPECT_EQ(cut.keys, whole.keys) << bytes;
    if (bytes < 1000) {
      EXPECT_GT(units.size(), files.size());
    }
  }
}

TEST_F(TextUnits, TheFirstDocumentsAreForValidation) {
  const std::vector<TextFileName> files = {lines("a.jsonl", 12), lines("b.jsonl.gz", 9),
                                           lines("c.jsonl", 5)};
  for (const int64_t held : {1, 5, 12, 13, 20, 21, 22, 25}) {
    const Found found = read_all(list_text_units(files, {"text", 40, held}));
    EXPECT_EQ(found.texts, documents_);
    for (size_t i = 0; i < found.splits.size(); ++i) {
      EXPECT_EQ(found.splits[i], i < static_cast<size_t>(held) ? "val" : "train") << held;
    }
  }
  EXPECT_THAT(message_of([&] { list_text_units(files, {"text", 40, 27}); }),
              HasSubstr("no more than 26"));
  // All of them for validation leaves nothing to train on.
  EXPECT_THAT(message_of([&] { list_text_units({files[0]}, {"text", 40, 12}); }),
              HasSubstr("choose fewer"));
}

TEST_F(TextUnits, RowsOfParquet) {
  if (!has_parquet()) GTEST_SKIP() << "built without Arrow";
  const std::vector<TextFileName> files = {{kParquet, "d.parquet"}};
  const Found whole = read_all(list_text_units(files, {"text", 1 << 20, 0}));
  ASSERT_EQ(whole.texts.size(), 22u);  // one row is null
  EXPECT_EQ(whole.texts[0], "Document 0: größe, 日本語, and \"quotes\".\n");
  EXPECT_EQ(whole.texts[2].size(), 201 * whole.texts[0].size());
  EXPECT_EQ(whole.keys[3], "d.parquet#4");
  EXPECT_EQ(whole.texts[6], "");
  for (const int64_t bytes : {4000, 20000, 30000}) {
    const Found cut = read_all(list_text_units(files, {"text", bytes, 8}));
    EXPECT_EQ(cut.texts, whole.texts) << bytes;
    EXPECT_EQ(cut.keys, whole.keys) << bytes;
    EXPECT_EQ(std::count(cut.splits.begin(), cut.splits.end(), "val"), 7);  // 8 rows, one null
  }
  EXPECT_EQ(read_all(list_text_units(files, {"id", 20, 0})).texts.size(), 23u);
}

TEST_F(TextUnits, ParquetThatCannotBeReadIsAnErrorInWords) {
  if (!has_parquet()) GTEST_SKIP() << "built without Arrow";
  EXPECT_THAT(message_of([] { list_text_units({{kParquet, "d.parquet"}}, {"body", 1, 0}); }),
              HasSubstr("no column of text `body`; it has: id, text"));
  EXPECT_THAT(message_of([] { open_parquet(kParquet, "d", {"score", 0, 5})->next(); }),
              HasSubstr("holds no text (DOUBLE)"));
  EXPECT_THAT(message_of([] { open_parquet(kParquet, "d", {"text", 99, 100})->next(); }),
              HasSubstr("it has 23 rows"));
  std::ofstream(folder_ / "text.parquet") << "no Parquet";
  EXPECT_THAT(message_of([&] { parquet_info(folder_ / "text.parquet"); }),
              HasSubstr("text.parquet"));
}

TEST(ChildOutput, SaysHowAChildEnded) {
  std::string text(3, '\0');
  ChildOutput well("/bin/sh", {"-c", "printf abcd"});
  EXPECT_EQ(well.read(text.data(), 3), 3u);
  EXPECT_EQ(text, "abc");
  EXPECT_EQ(well.read(text.data(), 3), 1u);
  well.finish();
  ChildOutput badly("/bin/sh", {"-c", "echo it is broken >&2; exit 3"});
  EXPECT_EQ(badly.read(text.data(), 3), 0u);
  EXPECT_EQ(message_of([&] { badly.finish(); }), "it is broken");
  ChildOutput silent("/bin/sh", {"-c", "exit 3"});
  EXPECT_THAT(message_of([&] { silent.finish(); }), HasSubstr("ended with status 3"));
  ChildOutput killed("/bin/sh", {"-c", "kill -9 $$"});
  EXPECT_THAT(message_of([&] { killed.finish(); }), HasSubstr("signal 9"));
  EXPECT_THAT(message_of([] { ChildOutput("/no/program", {}); }), HasSubstr("cannot start"));
  const ChildOutput endless("/bin/sh", {"-c", "yes"});  // is ended when nobody reads on
}

TEST(StreamDigest, KnownSums) {
  const std::pair<const char*, const char*> sums[] = {
      {"md5", "900150983cd24fb0d6963f7d28e17f72"},
      {"sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"},
      {"sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}};
  for (const auto& [kind, digits] : sums) {
    StreamDigest digest(kind);
    digest.update("abX", 2);
    digest.update("c", 1);
    EXPECT_EQ(digest.finish(), digits);
    digest.reset();
    digest.update("abc", 3);
    EXPECT_EQ(digest.finish(), digits);
    EXPECT_EQ(NamedDigest(std::string(kind) + ":" + digits).digits, digits);
  }
  EXPECT_THAT(message_of([] { NamedDigest("crc:00"); }), HasSubstr("not a `crc`"));
  EXPECT_THAT(message_of([] { NamedDigest("sha1:00"); }), HasSubstr("40 hexadecimal digits"));
  EXPECT_THAT(message_of([] { NamedDigest("00"); }), HasSubstr("kind:digits"));
}

}  // namespace
}  // namespace gamut::data
