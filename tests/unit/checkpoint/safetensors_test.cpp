// Round trips: whatever LibTorch holds and the format has comes back bit for bit.
#include "checkpoint/safetensors.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "support.h"

namespace gamut::checkpoint {
namespace {

using testing::HasSubstr;

constexpr at::ScalarType kScalars[] = {at::kBool,
                                       at::kByte,
                                       at::kChar,
                                       at::kShort,
                                       at::kInt,
                                       at::kLong,
                                       at::kHalf,
                                       at::kBFloat16,
                                       at::kFloat,
                                       at::kDouble,
                                       at::kComplexFloat,
                                       at::kUInt16,
                                       at::kUInt32,
                                       at::kUInt64,
                                       at::kFloat8_e5m2,
                                       at::kFloat8_e4m3fn,
                                       at::kFloat8_e5m2fnuz,
                                       at::kFloat8_e4m3fnuz,
                                       at::kFloat8_e8m0fnu};

using Random = std::mt19937_64;

// Any bits, NaN and infinities included, but 0 and 1 for booleans.
at::Tensor random_tensor(Random& random, at::ScalarType scalar, std::vector<int64_t> shape) {
  at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(scalar));
  auto* bytes = static_cast<uint8_t*>(tensor.mutable_data_ptr());
  for (size_t i = 0; i < tensor.nbytes(); ++i) {
    bytes[i] = static_cast<uint8_t>(scalar == at::kBool ? random() & 1 : random());
  }
  return tensor;
}

std::vector<int64_t> random_shape(Random& random) {
  std::vector<int64_t> shape(random() % 5);
  for (auto& size : shape) size = static_cast<int64_t>(random() % 6);  // 0 is a size too
  return shape;
}

using Safetensors = FolderTest;

TEST_F(Safetensors, RandomTensorsComeBackBitForBit) {
  Random random(20261121);
  for (int round = 0; round < 200; ++round) {
    NamedTensors tensors;
    const size_t count = random() % 8;
    for (size_t i = 0; i < count; ++i) {
      const auto scalar = kScalars[random() % std::size(kScalars)];
      tensors.push_back(
          {c10::str("blocks.", i, ".weight"), random_tensor(random, scalar, random_shape(random))});
    }
    write_safetensors(folder_ / "t.safetensors", tensors);
    for (Loading loading : {Loading::map, Loading::copy}) {
      const NamedTensors loaded = read_safetensors(folder_ / "t.safetensors", loading);
      ASSERT_EQ(loaded.size(), tensors.size());
      for (const auto& entry : tensors) {
        ASSERT_TRUE(same(find(loaded, entry.name), entry.tensor))
            << "round " << round << ", " << entry.name;
      }
    }
  }
}

TEST_F(Safetensors, EveryDtypeKeepsItsType) {
  Random random(1);
  NamedTensors tensors;
  for (auto scalar : kScalars) {
    tensors.push_back({c10::toString(scalar), random_tensor(random, scalar, {3, 2})});
    tensors.push_back(
        {c10::str(c10::toString(scalar), " rank 0"), random_tensor(random, scalar, {})});
    tensors.push_back(
        {c10::str(c10::toString(scalar), " empty"), random_tensor(random, scalar, {4, 0})});
  }
  write_safetensors(folder_ / "t.safetensors", tensors);
  const NamedTensors loaded = read_safetensors(folder_ / "t.safetensors");
  for (const auto& entry : tensors)
    EXPECT_TRUE(same(find(loaded, entry.name), entry.tensor)) << entry.name;
}

TEST_F(Safetensors, EqualContentGivesEqualBytesInAnyOrder) {
  const at::Tensor a = at::arange(6).reshape({2, 3}), b = at::ones({4}, at::kHalf),
                   c = at::zeros({2});
  write_safetensors(folder_ / "1", {{"a", a}, {"b", b}, {"c", c}}, {{"k", "v"}, {"j", "w"}});
  write_safetensors(folder_ / "2", {{"c", c}, {"b", b}, {"a", a.clone()}},
                    {{"j", "w"}, {"k", "v"}});
  EXPECT_EQ(read_bytes(folder_ / "1"), read_bytes(folder_ / "2"));
}

TEST_F(Safetensors, TheBytesAreThoseOfTheReferenceImplementation) {
  write_safetensors(folder_ / "t",
                    {{"b", at::tensor({1.0F, 2.0F})}, {"a", at::tensor({3}, at::kLong)}},
                    {{"format", "pt"}});
  // What safetensors.numpy.save({"b": float32 [1, 2], "a": int64 [3]}, {"format": "pt"}) gives.
  std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string expected(8, '\0');
  expected[0] = static_cast<char>(header.size());
  expected += header;
  expected += std::string("\3\0\0\0\0\0\0\0", 8) + std::string("\0\0\x80\x3f\0\0\0\x40", 8);
  EXPECT_EQ(read_bytes(folder_ / "t"), expected);
}

TEST_F(Safetensors, ViewsAreWrittenAsTheyLook) {
  const at::Tensor base = at::arange(24, at::kFloat).reshape({4, 6});
  const at::Tensor conjugate = at::complex(at::ones({2}), at::ones({2})).conj();
  write_safetensors(folder_ / "t", {{"transposed", base.t()},
                                    {"sliced", base.slice(1, 1, 6, 2)},
                                    {"expanded", at::ones({1}).expand({5})},
                                    {"conjugate", conjugate}});
  const auto loaded = read_safetensors(folder_ / "t");
  EXPECT_TRUE(same(find(loaded, "transposed"), base.t()));
  EXPECT_TRUE(same(find(loaded, "sliced"), base.slice(1, 1, 6, 2)));
  EXPECT_TRUE(same(find(loaded, "expanded"), at::ones({5})));
  EXPECT_TRUE(same(find(loaded, "conjugate"), conjugate.resolve_conj()));
}

TEST_F(Safetensors, NamesAndMetadataMayBeAnyUnicode) {
  const std::string name = "größe \"x\"\n\t\x01 \xf0\x9f\x8e\xb5 .weight";
  write_safetensors(folder_ / "t", {{name, at::ones({1})}}, {{name, "völlig\nfrei"}});
  EXPECT_EQ(read_safetensors(folder_ / "t").at(0).name, name);
  EXPECT_EQ(read_safetensors_header(folder_ / "t").metadata.at(name), "völlig\nfrei");
}

TEST_F(Safetensors, TheHeaderTellsShapesWithoutTheData) {
  write_safetensors(folder_ / "t",
                    {{"a", at::ones({2, 3}, at::kBFloat16)}, {"b", at::ones({}, at::kByte)}});
  const SafetensorsHeader header = read_safetensors_header(folder_ / "t");
  ASSERT_EQ(header.tensors.size(), 2U);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_STREQ(header.tensors[0].dtype->name, "BF16");
  EXPECT_EQ(header.tensors[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(header.tensors[0].end, 12U);
  EXPECT_TRUE(header.tensors[1].shape.empty());
}

TEST_F(Safetensors, MappedTensorsOutliveTheFileAndKeepWritesToThemselves) {
  write_safetensors(folder_ / "t", {{"a", at::zeros({1000})}});
  NamedTensors first = read_safetensors(folder_ / "t");
  const NamedTensors second = read_safetensors(folder_ / "t");
  first[0].tensor.fill_(7);
  EXPECT_TRUE(same(second[0].tensor, at::zeros({1000})));
  EXPECT_TRUE(same(read_safetensors(folder_ / "t")[0].tensor, at::zeros({1000})));
  // Saving over a file that is mapped gave other implementations zero-filled weights.
  write_safetensors(folder_ / "t", {{"a", first[0].tensor}});
  EXPECT_TRUE(same(first[0].tensor, at::full({1000}, 7.0F)));
  EXPECT_TRUE(same(second[0].tensor, at::zeros({1000})));
  fs::remove(folder_ / "t");
  EXPECT_TRUE(same(second[0].tensor, at::zeros({1000})));
}

TEST_F(Safetensors, MisalignedDataIsCopiedIntoAlignedMemory) {
  std::string header =
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  bytes += header + std::string("\5\0\0\x80\x3f", 5);
  write_bytes(folder_ / "t", bytes);
  const auto loaded = read_safetensors(folder_ / "t");
  EXPECT_EQ(loaded[1].tensor.item<float>(), 1.0F);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(loaded[1].tensor.const_data_ptr()) % 4, 0U);
}

TEST_F(Safetensors, NeitherWritingNorMappingCopiesATensor) {
  auto peak = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;  // KiB
  };
  const at::Tensor large = at::zeros({64 << 20}, at::kByte).fill_(1);
  const int64_t before = peak();
  write_safetensors(folder_ / "t", {{"large", large}});
  const NamedTensors loaded = read_safetensors(folder_ / "t");
  EXPECT_EQ(loaded[0].tensor[1].item<uint8_t>(), 1);
  EXPECT_LT(peak() - before, 16 << 10);
}

TEST_F(Safetensors, WhatTheFormatCannotHoldIsRefusedByName) {
  auto refusal = [&](const NamedTensors& tensors, const Metadata& metadata = {}) {
    return error_of([&] { write_safetensors(folder_ / "t", tensors, metadata); });
  };
  const at::Tensor one = at::ones({1});
  EXPECT_THAT(refusal({{"a", {}}}), HasSubstr("`a`"));
  EXPECT_THAT(refusal({{"__metadata__", one}}), HasSubstr("keeps this name"));
  EXPECT_THAT(refusal({{"a", one}, {"a", one}}), HasSubstr("two tensors have this name"));
  EXPECT_THAT(refusal({{"a", at::ones({1}, at::kComplexDouble)}}),
              HasSubstr("no dtype ComplexDouble"));
  EXPECT_THAT(refusal({{"a", at::ones({2, 2}).to_sparse()}}), HasSubstr("layout is Sparse"));
  EXPECT_THAT(refusal({{"a", at::empty({2}, at::TensorOptions().device(at::kMeta))}}),
              HasSubstr("meta device"));
  EXPECT_THAT(refusal({{"\xff", one}}), HasSubstr("UTF-8"));
  EXPECT_THAT(refusal({{"a", one}}, {{"k", "\xff"}}), HasSubstr("UTF-8"));
  EXPECT_TRUE(fs::is_empty(folder_)) << "a refused file left something behind";
}

TEST_F(Safetensors, WhatCannotBeReadIsNamed) {
  EXPECT_THAT(
      error_of([&] { read_safetensors(folder_ / "none"); }),
      testing::AllOf(HasSubstr("cannot open"), HasSubstr("none"), HasSubstr("No such file")));
  EXPECT_THAT(error_of([&] { read_safetensors(folder_); }), HasSubstr("no regular file"));
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { read_safetensors(folder_ / "pipe"); }), HasSubstr("no regular file"));
  EXPECT_THAT(error_of([&] { write_safetensors(folder_ / "no" / "t", {}); }),
              HasSubstr("cannot create"));
}

}  // namespace
}  // namespace gamut::checkpoint
