// Shard files: the format byte by byte, hostile files, writing whole or not at all, fingerprints.
#include <cstring>

#include "support.h"

namespace gamut::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Shards = InFolder;

std::string header(int32_t magic, int32_t version, int32_t count) {
  std::string bytes(kShardHeaderBytes, '\0');
  std::memcpy(&bytes[0], &magic, 4);
  std::memcpy(&bytes[4], &version, 4);
  std::memcpy(&bytes[8], &count, 4);
  return bytes;
}

TEST_F(Shards, AreWrittenByteForByteAsParameterGolfDefinesThem) {
  const int64_t ids[] = {1, 0x0203, 65535};
  ShardWriter writer(folder_, "fineweb_train", kMaxVocabulary);
  writer.append(ids, 3);
  EXPECT_THAT(writer.finish(), ElementsAre(folder_ / "fineweb_train_000000.bin"));
  EXPECT_EQ(read_file(folder_ / "fineweb_train_000000.bin"),
            header(20240520, 1, 3) + std::string("\x01\x00\x03\x02\xFF\xFF", 6));
}

TEST_F(Shards, AreCutAtTheirSizeAndReadAsOneSequence) {
  const auto files = write_counting(folder_, 25, 10);
  ASSERT_EQ(files.size(), 3u);
  EXPECT_EQ(Shard(files[2]).size(), 5);
  const TokenSet set(files);
  EXPECT_EQ(set.size(), 25);
  std::vector<int64_t> read(60);
  set.read(8, 60, read.data());
  for (int64_t i = 0; i < 60; ++i) EXPECT_EQ(read[static_cast<size_t>(i)], (8 + i) % 25);
}

TEST_F(Shards, WithoutTokensArePassedOver) {
  const auto empty = write_counting(folder_, 0, 10, "a");
  const auto full = write_counting(folder_, 3, 10, "b");
  ASSERT_EQ(empty.size(), 1u);
  const TokenSet set({empty[0], full[0], empty[0]});
  std::vector<int64_t> read(7);
  set.read(2, 7, read.data());
  EXPECT_THAT(read, ElementsAre(2, 0, 1, 2, 0, 1, 2));
  EXPECT_THAT(sentence_of([&] { TokenSet(empty).read(0, 1, read.data()); }),
              HasSubstr("holds no tokens"));
}

TEST_F(Shards, RefusesWhatIsNoWholeShardByNameAndOffset) {
  const std::string tokens(20, '\1');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "ends at byte 0, inside of the header"},
      {std::string(1023, '\0'), "ends at byte 1023, inside of the header"},
      {header(20240521, 1, 10) + tokens, "magic number at byte 0 is 20240521, not 20240520"},
      {header(20240520, 2, 10) + tokens, "version 2 (at byte 4)"},
      {header(20240520, 1, -1), "token count at byte 8 is -1"},
      {header(20240520, 1, 10) + tokens.substr(1), "ends at byte 1043, and the 10 tokens"},
      {header(20240520, 1, INT32_MAX), "need 4294968318"},
      {header(20240520, 1, 10) + tokens + "x", "has 1 bytes after byte 1044"},
  };
  for (const auto& [contents, expected] : cases) {
    const auto file = write("bad.bin", contents);
    EXPECT_THAT(sentence_of([&] { Shard shard(file); }),
                AllOf(HasSubstr(file.string()), HasSubstr(expected)));
  }
  EXPECT_THAT(sentence_of([&] { Shard shard(folder_ / "absent.bin"); }), HasSubstr("absent.bin"));
  EXPECT_THAT(sentence_of([&] { Shard shard(folder_); }), HasSubstr("no regular file"));
}

TEST_F(Shards, NameTheFirstIdOutsideOfTheVocabularyAndItsOffset) {
  const auto files = write_counting(folder_, 300, 200);
  const TokenSet set(files, 260);
  std::vector<int64_t> read(300);
  set.read(0, 260, read.data());  // the ids below 260 are fine
  const auto expected =
      AllOf(HasSubstr(files[1].string()), HasSubstr("token 60, at byte 1144, is 260"),
            HasSubstr("vocabulary of 260"));
  EXPECT_THAT(sentence_of([&] { set.read(100, 200, read.data()); }), expected);
  EXPECT_THAT(sentence_of([&] { set.verify(); }), expected);
  EXPECT_EQ(sentence_of([&] { TokenSet(files, 300).verify(); }), "nothing thrown");
}

TEST_F(Shards, WriterRefusesIdsThatDoNotFit) {
  ShardWriter writer(folder_, "x", 260);
  const int64_t ids[] = {5, 260};
  EXPECT_THAT(sentence_of([&] { writer.append(ids, 2); }), HasSubstr("id 260 of token 1"));
  const int64_t negative = -1;
  EXPECT_THAT(sentence_of([&] { writer.append(&negative, 1); }), HasSubstr("id -1"));
  EXPECT_THAT(sentence_of([&] { ShardWriter(folder_, "x", 65537); }), HasSubstr("16 bits"));
}

TEST_F(Shards, AppearWhenCompleteAndNotBefore) {
  const int64_t id = 7;
  {
    ShardWriter writer(folder_, "x", 260, 2);
    for (int i = 0; i < 3; ++i) writer.append(&id, 1);
    EXPECT_TRUE(fs::exists(folder_ / "x_000000.bin"));
    EXPECT_FALSE(fs::exists(folder_ / "x_000001.bin"));
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "the unfinished one is gone";
}

TEST_F(Shards, AreFoundByFolderSplitAndPattern) {
  const auto train = write_counting(folder_, 5, 2, "fineweb_train");
  const auto held_out = write_counting(folder_, 2, 2, "fineweb_val");
  write("notes.txt", "");
  EXPECT_EQ(find_shards(folder_.string(), "train"), train);
  EXPECT_EQ(find_shards(folder_.string(), "val"), held_out);
  EXPECT_EQ(find_shards(folder_.string(), "").size(), 4u);
  EXPECT_EQ(find_shards((folder_ / "*_train_*.bin").string(), ""), train);
  EXPECT_EQ(find_shards(train[1].string(), "").size(), 1u);
  EXPECT_THAT(sentence_of([&] { find_shards((folder_ / "*.none").string(), ""); }),
              HasSubstr("no file matches"));
  EXPECT_THAT(sentence_of([&] { find_shards(folder_.string(), "test"); }),
              HasSubstr("holds no token shards (*_test_*.bin)"));
  EXPECT_THAT(sentence_of([&] { find_shards((folder_ / "absent").string(), ""); }),
              HasSubstr("no file or folder"));
}

TEST_F(Shards, FingerprintFollowsContentsAndNamesNotTheFolder) {
  const auto files = write_counting(folder_, 100, 50);
  const std::string before = TokenSet(files).fingerprint();
  fs::copy(folder_, folder_ / "copy", fs::copy_options::none);
  EXPECT_EQ(TokenSet(find_shards((folder_ / "copy").string(), "")).fingerprint(), before);
  EXPECT_NE(TokenSet({files[0]}).fingerprint(), before);
  std::string bytes = read_file(files[1]);
  bytes[1050] ^= 1;
  write(files[1].filename(), bytes);
  EXPECT_NE(TokenSet(files).fingerprint(), before);
}

TEST_F(Shards, FingerprintOfALargeFileSeesItsEnds) {
  ShardWriter writer(folder_, "large", kMaxVocabulary);
  std::vector<int64_t> ids(1 << 20);
  for (int i = 0; i < 10; ++i) writer.append(ids.data(), static_cast<int64_t>(ids.size()));
  const auto file = writer.finish()[0];
  const std::string before = TokenSet({file}).fingerprint();
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(-2, std::ios::end)
      << 'x';
  EXPECT_NE(TokenSet({file}).fingerprint(), before);
}

}  // namespace
}  // namespace gamut::data
