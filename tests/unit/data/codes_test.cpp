// Codes shards: written and read, damaged ones refused with the place, sets of them.
#include "checkpoint/safetensors.h"
#include "codes_support.h"
#include "data/codes/batches.h"
#include "data/codes/use.h"

namespace gamut::data {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Codes : public InCodesFolder {
 protected:
  // A shard with one tensor or one metadata string replaced; its checksums are of what it was.
  fs::path edit(const std::function<void(std::map<std::string, at::Tensor>&,
                                         checkpoint::Metadata&)>& change) const {
    const fs::path path = write_items({4, 0, 3})[0];
    checkpoint::Metadata metadata = checkpoint::read_safetensors_header(path).metadata;
    std::map<std::string, at::Tensor> tensors;
    for (const auto& [name, tensor] : checkpoint::read_safetensors(path))
      tensors[name] = tensor.clone();
    change(tensors, metadata);
    NamedTensors changed;
    for (const auto& [name, tensor] : tensors) changed.push_back({name, tensor});
    checkpoint::write_safetensors(folder_ / "edited.safetensors", changed, metadata);
    return folder_ / "edited.safetensors";
  }
};

std::string refusal(const fs::path& path) {
  return sentence_of([&] { CodesShard{path}; });
}

// Of bytes in memory, read completely.
std::string refusal_of(const std::string& bytes) {
  const std::vector<char> aligned(bytes.begin(), bytes.end());
  const auto* data = reinterpret_cast<const uint8_t*>(aligned.data());
  return sentence_of(
      [&] { verify_codes(parse_codes(data, aligned.size(), "a.shard"), "a.shard"); });
}

TEST_F(Codes, ItemsComeBackAsTheyWere) {
  const auto files = write_items({4, 0, 3});
  ASSERT_EQ(files, std::vector<fs::path>{folder_ / "train_000000.safetensors"});
  const CodeSet set(files);
  EXPECT_EQ(set.items(), 3);
  EXPECT_EQ(set.frames(), 7);
  EXPECT_EQ(set.shards()[0]->split(), "train");
  for (const int64_t i : {0, 1, 2}) {
    const at::Tensor codes = set.item(i).to(at::kLong).t();
    EXPECT_TRUE(
        at::equal(codes, codes_of(i, std::vector<int64_t>{4, 0, 3}[static_cast<size_t>(i)])));
    EXPECT_EQ(set.facts(i)["text"], c10::str("words of ", i));
  }
  EXPECT_EQ(set.find("item2"), 2);
  EXPECT_EQ(set.find("item3"), -1);
  set.verify();
  const CodesDescription& read = set.description();
  EXPECT_EQ(read.to_metadata(), description().to_metadata());
  EXPECT_EQ(read.frame_rate, description().frame_rate);
}

TEST_F(Codes, ShardsAreCutBetweenItemsAndTheirBytesDependOnTheItemsAlone) {
  const std::vector<int64_t> lengths = {10, 20, 500, 1, 30, 7};
  const auto files = write_items(lengths, 400);
  EXPECT_GT(files.size(), 2U);
  EXPECT_EQ(files, find_codes(folder_.string(), "train"));
  std::vector<std::string> first;
  for (const auto& file : files) first.push_back(read_file(file));
  const CodeSet set(files);
  ASSERT_EQ(set.items(), 6);
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(set.length(i), lengths[static_cast<size_t>(i)]);
    EXPECT_TRUE(at::equal(set.item(i).to(at::kLong).t(), codes_of(i, set.length(i))));
  }
  for (const auto& file : write_items(lengths, 400)) {
    EXPECT_EQ(read_file(file), first[0]);
    first.erase(first.begin());
  }
}

TEST_F(Codes, ASplitOfNoItemsIsAShardOfNone) {
  const CodeSet set(CodesWriter(folder_, "val", description()).finish());
  EXPECT_EQ(set.items(), 0);
  set.verify();
  EXPECT_THAT(sentence_of([&] {
                CodeBatchSource(std::make_shared<CodeSet>(find_codes(folder_.string(), "val")), {});
              }),
              HasSubstr("from 0 items"));
}

TEST_F(Codes, TheWriterRefusesWhatAShardCannotHold) {
  CodesWriter writer(folder_, "train", description());
  const auto append = [&](const at::Tensor& codes, const json& facts) {
    return sentence_of([&] { writer.append(codes, facts); });
  };
  at::Tensor bad = codes_of(0, 5);
  bad[1][2] = 1024;
  EXPECT_THAT(append(bad, {{"name", "a"}}),
              HasSubstr("code 1024 of `a`, in frame 2 of codebook 1"));
  EXPECT_THAT(append(codes_of(0, 5).narrow(0, 0, 2), {{"name", "a"}}),
              HasSubstr("integers [3, frames]"));
  EXPECT_THAT(append(codes_of(0, 5), {{"title", "a"}}), HasSubstr("needs a `name`"));
  EXPECT_THAT(append(codes_of(0, 5), {{"name", "a\xff"}}), HasSubstr("not valid UTF-8"));
  EXPECT_EQ(writer.items(), 0);
  CodesDescription wide = description();
  wide.vocab_size = 70000;
  EXPECT_THAT(sentence_of([&] { CodesWriter(folder_, "train", wide); }),
              HasSubstr("1 to 65536, not 70000"));
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(Codes, AShardCutAnywhereIsRefused) {
  const std::string bytes = read_file(write_items({4, 0, 3})[0]);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(refusal_of(bytes.substr(0, size)), HasSubstr("a.shard")) << size;
  }
  EXPECT_THAT(refusal(write("cut.safetensors", bytes.substr(0, bytes.size() - 9))),
              HasSubstr("data offset"));
}

TEST_F(Codes, EveryChangedBitIsFoundOrRefused) {
  const std::string bytes = read_file(write_items({4, 0, 3})[0]);
  const uint64_t header =
      checkpoint::read_safetensors_header(folder_ / "train_000000.safetensors").data_begin;
  for (size_t bit = header * 8; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] ^= static_cast<char>(1 << bit % 8);
    EXPECT_THAT(refusal_of(damaged), HasSubstr("a.shard")) << bit;
  }
}

TEST_F(Codes, DamagedFilesAreNamedWithThePlace) {
  using Tensors = std::map<std::string, at::Tensor>;
  using checkpoint::Metadata;
  const auto edited = [&](const std::function<void(Tensors&, Metadata&)>& change) {
    return refusal(edit(change));
  };
  EXPECT_THAT(edited([](Tensors& t, Metadata&) { t["offsets"][1] = 9; }),
              HasSubstr("offset 1, at byte"));
  EXPECT_THAT(edited([](Tensors& t, Metadata&) { t["offsets"][2] = -1; }),
              HasSubstr("offset 2, at byte"));
  EXPECT_THAT(edited([](Tensors& t, Metadata&) { t["offsets"][0] = 1; }),
              HasSubstr("first offset"));
  EXPECT_THAT(edited([](Tensors& t, Metadata&) { t["offsets"][3] = 6; }), HasSubstr("last offset"));
  EXPECT_THAT(
      edited([](Tensors& t, Metadata&) { t["offsets"] = t["offsets"].narrow(0, 0, 3).clone(); }),
      HasSubstr("last offset"));
  EXPECT_THAT(edited([](Tensors& t, Metadata&) { t["items"][-1] = 65; }),
              HasSubstr("does not end"));
  EXPECT_THAT(edited([](Tensors& t, Metadata&) { t["items"][3] = 10; }), HasSubstr("has 4 lines"));
  EXPECT_THAT(edited([](Tensors& t, Metadata&) { t["codes"] = t["codes"].to(at::kInt); }),
              HasSubstr("must be U16"));
  EXPECT_THAT(edited([](Tensors& t, Metadata&) { t.erase("items"); }), HasSubstr("has 3 tensors"));
  EXPECT_THAT(edited([](Tensors&, Metadata& m) { m["format"] = "gamut.codes/2"; }),
              HasSubstr("reads gamut.codes/1"));
  EXPECT_THAT(edited([](Tensors&, Metadata& m) { m.clear(); }), HasSubstr("is no codes shard"));
  EXPECT_THAT(edited([](Tensors&, Metadata& m) { m["codebooks"] = "4"; }),
              HasSubstr("metadata says 4"));
  EXPECT_THAT(edited([](Tensors&, Metadata& m) { m["frame_rate"] = "nan"; }),
              HasSubstr("frame_rate"));
  EXPECT_THAT(edited([](Tensors&, Metadata& m) { m["vocab_size"] = "12x"; }), HasSubstr("`12x`"));
  EXPECT_THAT(edited([](Tensors&, Metadata& m) { m["tokenizer"] = "{\"name\": 3}"; }),
              HasSubstr("no `name`"));
}

TEST_F(Codes, CodesBeyondTheVocabularyAreFoundWhereTheyAreRead) {
  const CodeSet set({edit([](auto&, auto& metadata) { metadata["vocab_size"] = "602"; })});
  EXPECT_EQ(set.item(1).size(0), 0);
  EXPECT_THAT(sentence_of([&] { set.item(0); }), HasSubstr("code 602, of frame 2 and codebook 2"));
  std::vector<int64_t> out(12);
  set.read(0, 0, 2, out.data(), 4);
  EXPECT_THAT(sentence_of([&] { set.read(0, 1, 2, out.data(), 4); }),
              HasSubstr("outside of the vocabulary of 602"));
  EXPECT_THAT(sentence_of([&] { set.verify(); }), HasSubstr("outside of the vocabulary of 602"));
}

TEST_F(Codes, ShardsOfOtherTokenizersAreNotMixed) {
  const auto first = write_items({4})[0];
  const auto mixed = [&](const std::function<void(CodesDescription&)>& change) {
    fs::rename(folder_ / "train_000000.safetensors", folder_ / "first.safetensors");
    CodesDescription other = description();
    change(other);
    const auto second = write_items({2}, kCodesShardBytes, other)[0];
    const std::string sentence =
        sentence_of([&] { CodeSet({folder_ / "first.safetensors", second}); });
    fs::rename(folder_ / "first.safetensors", first);
    return sentence;
  };
  EXPECT_THAT(mixed([](auto& d) { d.tokenizer.identity["weights_sha256"] = "def"; }),
              HasSubstr("cannot be mixed: the tokenizers differ in weights_sha256: abc and def"));
  EXPECT_THAT(mixed([](auto& d) { d.tokenizer.identity.clear(); }), HasSubstr("abc and none"));
  EXPECT_THAT(mixed([](auto& d) { d.tokenizer.name = "encodec"; }),
              HasSubstr("name: dac and encodec"));
  EXPECT_THAT(mixed([](auto& d) { d.sample_rate = 24000; }),
              HasSubstr("sample_rate: 44100 and 24000"));
  // The same weights from elsewhere give the same codes.
  EXPECT_EQ(mixed([](auto& d) { d.tokenizer.options["weights"] = "/elsewhere"; }),
            "nothing thrown");
}

TEST_F(Codes, FilesAreFoundAsPathsFoldersAndPatterns) {
  write_items({10, 20, 30}, 100);
  write("train_notes.safetensors", "no shard");
  write(".train_000009.safetensors.1.tmp", "no shard");
  CodesWriter(folder_, "val", description()).finish();
  const auto names = [](const std::vector<fs::path>& files) {
    std::vector<std::string> names;
    for (const auto& file : files) names.push_back(file.stem().string());
    return names;
  };
  EXPECT_THAT(names(find_codes(folder_.string(), "train")),
              ElementsAre("train_000000", "train_000001", "train_000002"));
  EXPECT_THAT(names(find_codes(folder_.string(), "")).size(), 4U);
  EXPECT_THAT(names(find_codes((folder_ / "*_000000.*").string(), "")),
              ElementsAre("train_000000", "val_000000"));
  EXPECT_THAT(sentence_of([&] { find_codes(folder_.string(), "test"); }),
              HasSubstr("no codes shards (test_000000"));
  fs::remove(folder_ / "train_000001.safetensors");
  EXPECT_THAT(sentence_of([&] { find_codes(folder_.string(), "train"); }),
              HasSubstr("shard 1 of the split `train` is missing"));
}

TEST_F(Codes, UseOfTheVocabularyIsCounted) {
  CodesWriter writer(folder_, "train", description());
  const at::Tensor constant = at::full({4}, 7, at::kLong), halves = at::arange(4).remainder(2);
  writer.append(at::stack({constant, halves, at::arange(4)}), {{"name", "a"}});
  const auto use = codebook_use(CodeSet(writer.finish()));
  ASSERT_EQ(use.size(), 3U);
  for (const size_t book : {0, 1, 2}) {
    EXPECT_EQ(use[book].distinct, 1 << book);
    EXPECT_NEAR(use[book].bits, static_cast<double>(book), 1e-12);
  }
}

TEST_F(Codes, TheFingerprintIsOfNamesAndContents) {
  const auto print = [&](const std::vector<int64_t>& lengths) {
    return set_of(lengths)->fingerprint();
  };
  const std::string first = print({4, 5});
  EXPECT_EQ(print({4, 5}), first);
  EXPECT_NE(print({4, 6}), first);
}

TEST(TokenizerRecord, OptionsGoToJsonAndBack) {
  const json options = {{"weights", "random"},     {"seed", 3},        {"rate", 1.5},
                        {"normalize", true},       {"ratios", {8, 5}}, {"gains", {0.5, 1.0}},
                        {"inner", {{"name", "x"}}}};
  EXPECT_EQ(options_to_json(options_from_json(options, "test")), options);
  EXPECT_THAT(sentence_of([] { options_from_json({{"a", nullptr}}, "test"); }),
              HasSubstr("test: option `a`: it is null"));
}

}  // namespace
}  // namespace gamut::data
