// Checkpoints as Python's torch.save writes them: read, and turned into safetensors.
#include <fstream>
#include <nlohmann/json.hpp>

#include "checkpoint/safetensors.h"
#include "checkpoint/torch_file/convert.h"
#include "checkpoint/torch_file/state_dict.h"
#include "checkpoint/torch_file/torch_file.h"
#include "support.h"
#include "torch_archive.h"

namespace gamut::checkpoint::torch_file {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

const fs::path kTorchFiles = fs::path(GAMUT_SOURCE_DIR) / "tests/data/torch_files";
const fs::path kCodecs = fs::path(GAMUT_SOURCE_DIR) / "tests/data/codecs";

class TorchFileTest : public FolderTest {
 protected:
  Converted convert(const fs::path& from, const ConvertOptions& options = {}) {
    return torch_file::convert(from, out_, options);
  }
  Metadata metadata() const { return read_safetensors_header(out_).metadata; }
  std::string refusal(const fs::path& from, const ConvertOptions& options = {}) {
    const std::string message = error_of([&] { convert(from, options); });
    EXPECT_FALSE(fs::exists(out_)) << from;
    return message;
  }
  // A state dict of one tensor [4] from bytes made by hand.
  fs::path file_of(const std::string& bytes) {
    write_bytes(folder_ / "in.pt", bytes);
    return folder_ / "in.pt";
  }

  const fs::path out_ = folder_ / "out.safetensors";
};

void expect_same(const NamedTensors& got, const NamedTensors& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& entry : expected) {
    EXPECT_TRUE(same(find(got, entry.name), entry.tensor)) << entry.name;
  }
}

TEST_F(TorchFileTest, EveryDtypeAndLayoutEqualsWhatPythonWritesAsSafetensors) {
  const Converted converted = convert(kTorchFiles / "variants.pt");
  expect_same(read_safetensors(out_), read_safetensors(kTorchFiles / "variants.safetensors"));
  EXPECT_EQ(converted.key, "state_dict");
  EXPECT_EQ(converted.tensors, 18u);
  EXPECT_EQ(converted.dtypes.at("F32"), 9u);
  EXPECT_EQ(converted.dtypes.at("BOOL"), 1u);
  EXPECT_EQ(converted.bytes, fs::file_size(out_));
  EXPECT_THAT(converted.left_out_keys, ElementsAre("optimizer"));
}

TEST_F(TorchFileTest, PlainValuesBecomeMetadata) {
  convert(kTorchFiles / "variants.pt");
  const Metadata expected = {
      {"format", "pt"},
      {"kwargs", R"({"rates":[2,4],"name":"tür","latent":null,"dropout":false,"scale":0.5})"},
      {"note", "plain"},
      {"epoch", "7"},
      {"big", "1099511627776"},
      {"negative", "-1099511627776"},
      {"size", "[2,3]"},
      {"tuple", R"([1,[2.5,"x"],true])"},
      {"not_numbers", R"([{"$number":"nan"},{"$number":"inf"},{"$number":"-inf"}])"},
      {"by_number", R"({"1":"one"})"},
  };
  EXPECT_EQ(metadata(), expected);
}

TEST_F(TorchFileTest, TheDacCheckpointEqualsItsSafetensorsTwin) {
  const Converted converted = convert(kCodecs / "dac_tiny_orig.pth");
  EXPECT_EQ(converted.tensors, 301u);
  expect_same(read_safetensors(out_), read_safetensors(kCodecs / "dac_tiny_orig.safetensors"));
  const auto kwargs = nlohmann::json::parse(metadata().at("kwargs"));
  const auto twin = read_safetensors_header(kCodecs / "dac_tiny_orig.safetensors").metadata;
  const auto expected = nlohmann::json::parse(twin.at("kwargs"));
  for (const auto& [key, value] : expected.items()) {
    EXPECT_EQ(kwargs.at(key), value) << key;
  }
}

TEST_F(TorchFileTest, TheEncodecCheckpointEqualsTheOtherLayoutByTheirNames) {
  EXPECT_EQ(convert(kCodecs / "encodec_tiny_orig.th").key, "");
  const NamedTensors got = read_safetensors(out_);
  const NamedTensors expected = read_safetensors(kCodecs / "encodec_tiny_hf.safetensors");
  std::ifstream file(kCodecs / "encodec_tiny_names.json");
  const auto names = nlohmann::json::parse(file).at("hf_to_orig");
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [theirs, ours] : names.items()) {
    EXPECT_TRUE(same(find(got, ours), find(expected, theirs))) << ours;
  }
}

TEST_F(TorchFileTest, TensorsAreViewsOfTheMapThatOutliveTheFile) {
  at::Tensor first, whole, transposed;
  {
    TorchFile file(kTorchFiles / "variants.pt");
    const auto dict = find_state_dict(file.pickle(), "", "variants.pt");
    for (const auto& [name, ref] : dict.tensors) {
      const at::Tensor tensor = file.tensor(*file.pickle().get<PickleTensor>(ref), name);
      if (name == "first_half") first = tensor;
      if (name == "whole") whole = tensor;
      if (name == "transposed") transposed = tensor;
    }
  }
  EXPECT_EQ(first.const_data_ptr(), whole.const_data_ptr());
  EXPECT_EQ(transposed.strides(), (at::IntArrayRef{1, 6}));
  EXPECT_TRUE(at::equal(whole, at::arange(24, at::kFloat)));
}

TEST_F(TorchFileTest, OptionsChooseDictionaryPrefixAndDtype) {
  ConvertOptions options;
  options.key = "discriminator";
  EXPECT_EQ(convert(kTorchFiles / "two_models.pt", options).key, "discriminator");
  EXPECT_EQ(metadata().at("steps"), "3");

  options = {};
  options.force = true;
  options.prefix = "first_";
  const Converted converted = convert(kTorchFiles / "variants.pt", options);
  EXPECT_EQ(converted.tensors, 1u);
  EXPECT_EQ(converted.other_tensors, 17u);
  EXPECT_EQ(read_safetensors(out_).front().name, "half");

  options.prefix = "";
  options.dtype = at::kHalf;
  convert(kTorchFiles / "variants.pt", options);
  const NamedTensors got = read_safetensors(out_);
  EXPECT_EQ(find(got, "float64").scalar_type(), at::kHalf);
  EXPECT_EQ(find(got, "int64").scalar_type(), at::kLong);
}

TEST_F(TorchFileTest, TheNearestDictionaryOfTensorsIsFound) {
  EXPECT_EQ(convert(kTorchFiles / "nested.pt").key, "best_state/model");
  EXPECT_EQ(metadata().at("score"), "0.5");
  EXPECT_EQ(metadata().at("xp"), R"({"cfg":"lr: 1"})");
  ConvertOptions options;
  options.key = "best_state/model";
  options.force = true;
  EXPECT_EQ(convert(kTorchFiles / "nested.pt", options).key, "best_state/model");
}

TEST_F(TorchFileTest, RefusesToGuessToOverwriteAndToMisread) {
  EXPECT_THAT(refusal(kTorchFiles / "two_models.pt"),
              HasSubstr("`generator` (1 tensors), `discriminator` (1 tensors); choose one"));
  ConvertOptions options;
  options.key = "generater";
  EXPECT_THAT(refusal(kTorchFiles / "two_models.pt", options),
              HasSubstr("has no dictionary `generater`; with tensors it has `generator`"));
  options.key = "metadata";
  EXPECT_THAT(refusal(kTorchFiles / "variants.pt", options), HasSubstr("holds no tensors"));
  options = {};
  options.prefix = "audio_encoder.";
  EXPECT_THAT(refusal(kTorchFiles / "two_models.pt",
                      [&] {
                        auto both = options;
                        both.key = "generator";
                        return both;
                      }()),
              HasSubstr("begins with `audio_encoder.`; the first one is `weight`"));

  convert(kTorchFiles / "no_checksums.pt");
  const std::string before = read_bytes(out_);
  EXPECT_THAT(error_of([&] { convert(kTorchFiles / "variants.pt"); }), HasSubstr("--force"));
  EXPECT_THAT(error_of([&] { torch_file::convert(out_, out_); }), HasSubstr("into itself"));
  EXPECT_THAT(error_of([&] { torch_file::convert(kTorchFiles / "nested.pt", folder_); }),
              HasSubstr("is a folder"));
  EXPECT_EQ(read_bytes(out_), before);
}

TEST_F(TorchFileTest, OtherFilesOfTorchAreRefusedWithAWayOut) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"legacy.pt", "before torch 1.6"},
      {"script.pt", "TorchScript archive"},
      {"module.pt", "`torch.nn.modules.linear.Linear`, the file holds a whole module"},
      {"numpy_scalar.pt", "a value of numpy or of bytes"},
      {"bytes.pt", "`_codecs.encode`, a value of numpy or of bytes"},
      {"complex.pt", "`torch.ComplexFloatStorage`, complex numbers"},
      {"uint16.pt", "a tensor of a dtype that is not read"},
      {"sparse.pt", "`torch._utils._rebuild_sparse_tensor`, which is neither a dense tensor"},
      {"protocol4.pt", "pickle protocol 4"},
      {"tensor.pt", "holds a tensor and not a dictionary"},
      {"variants.safetensors", "is a safetensors file"},
      {"make_files.py", "is text"},
  };
  for (const auto& [name, expected] : cases) {
    EXPECT_THAT(refusal(kTorchFiles / name), HasSubstr(expected)) << name;
  }
}

TEST_F(TorchFileTest, ZipVariantsThatAreWithinTheFormat) {
  const std::string pickle = dict_of(tensor(storage(4), 0, {4}, {1}));
  const std::string data(16, '\0');
  const std::vector<std::string> files = {
      zip({{"x/data.pkl", pickle}, {"x/data/0", data}}, true),
      zip({{"x/data.pkl", pickle, 0, 0, ~0ULL, true}, {"x/data/0", data, 0, 0, ~0ULL, true}}),
      // An odd place in the file: copied, not mapped.
      zip({{"x/data.pkl", pickle}, {"x/odd", "1"}, {"x/data/0", data}}),
      zip({{"x/data.pkl", pickle}, {"x/byteorder", "little"}, {"x/data/0", data}}),
  };
  ConvertOptions options;
  options.force = true;
  for (const auto& bytes : files) {
    convert(file_of(bytes), options);
    EXPECT_TRUE(at::equal(read_safetensors(out_).front().tensor, at::zeros({4})));
  }
}

}  // namespace
}  // namespace gamut::checkpoint::torch_file
