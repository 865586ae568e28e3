// Plugins by name: found, refused, opened, constructed, and their exceptions explained.
#include "plugin_host/registry.h"

#include <gamut/code_files.h>
#include <gamut/codec.h>
#include <gamut/identity.h>

#include <fstream>

#include "plugin_host/options_check.h"
#include "test_plugins.h"

namespace gamut::host {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string creating(const std::string& folder, const std::string& name) {
  auto registry = registry_of({folder});
  return error_of([&] { registry->create_mixer(name, {}); });
}

TEST(Registry, ListOpensNothing) {
  auto registry = registry_of({"refused", "broken", "faulty"});  // some abort when opened
  size_t usable = 0, refused = 0;
  for (const auto& info : registry->list()) {
    EXPECT_FALSE(info.is_open) << info.name;
    (info.problem.empty() ? usable : refused)++;
  }
  EXPECT_EQ(refused, 5u);
  EXPECT_GE(usable, 13u);
}

TEST(Registry, CreatesByNameAndByPath) {
  auto registry = registry_of({"faulty"});
  const OptionMap width = {{"d_model", OptionValue(int64_t{8})}};
  auto mixer = registry->create_mixer("faulty_mixer", width);
  EXPECT_EQ(mixer->parameters().size(), 2u);
  EXPECT_EQ(mixer->parameters()[0].name, "in.weight");
  EXPECT_EQ(mixer->new_state(3)["h"].size(0), 3);
  MixerContext context;
  EXPECT_EQ(mixer->forward(at::randn({2, 5, 8}), context).sizes(), (at::IntArrayRef{2, 5, 8}));
  EXPECT_TRUE(registry->find("mixer", "faulty_mixer").is_open);
  EXPECT_FALSE(registry->find("optimizer", "faulty_optimizer").is_open);

  auto empty = std::make_unique<Registry>(SearchPath{});
  const std::string file = (test_plugins("faulty") / "faulty_mixer.so").string();
  EXPECT_TRUE(empty->create_mixer(file, width));
  EXPECT_THAT(error_of([&] { empty->create_tokenizer(file, {}); }),
              HasSubstr("is the mixer `faulty_mixer`, not a tokenizer"));
}

TEST(Registry, UnknownNames) {
  EXPECT_THAT(creating("faulty", "faulti_mixer"),
              HasSubstr("unknown mixer `faulti_mixer`; did you mean `faulty_mixer`?"));
  EXPECT_THAT(creating("faulty", "faulty_tokenizer"),
              HasSubstr("there is a tokenizer of that name"));
  EXPECT_THAT(creating("no such folder", "gdn"), HasSubstr("no mixer was found"));
  EXPECT_THAT(creating("faulty", "no/such/file.so"), HasSubstr("there is no plugin at"));
}

TEST(Registry, RefusedPluginsAreExplainedWhenAskedFor) {
  EXPECT_THAT(creating("refused", "libtorch"), HasSubstr("was built for LibTorch 1.13.1"));
  const auto file = (test_plugins("refused") / "sdk_major.so").string();
  EXPECT_THAT(creating("faulty", file), HasSubstr("version 9."));
}

TEST(Registry, TwoOfOneNameAreBothNamed) {
  auto registry = registry_of({"twin_a", "twin_b"});
  EXPECT_THAT(
      error_of([&] { registry->create_mixer("twin", {}); }),
      AllOf(HasSubstr("twin_a/twin.so"), HasSubstr("twin_b/twin.so"), HasSubstr("by its path")));
  EXPECT_TRUE(registry->create_mixer((test_plugins("twin_b") / "twin.so").string(), {}));
  EXPECT_TRUE(registry_of({"twin_a", "twin_a"})->create_mixer("twin", {}));  // the same file
}

TEST(Registry, FilesThatAreNoPlugins) {
  TemporaryFolder folder;
  std::ofstream(folder.path / "readme.so") << "not a library";
  std::filesystem::copy_file("/proc/self/exe", folder.path / "helper.so");  // sound, no tag
  Registry registry(SearchPath{{folder.path}});
  ASSERT_EQ(registry.list().size(), 1u);
  EXPECT_THAT(error_of([&] { registry.create_mixer("readme", {}); }),
              HasSubstr("readme.so` is not a shared library"));
  EXPECT_THAT(error_of([&] { registry.create_mixer((folder.path / "helper.so").string(), {}); }),
              HasSubstr("not a Gamut plugin"));
}

TEST(Registry, FailuresNamePluginVersionFileAndOperation) {
  EXPECT_THAT(creating("broken", "throw"),
              AllOf(HasSubstr("mixer `throw` 1.0.0"), HasSubstr("throw.so"),
                    HasSubstr("failed in construction: the weights are on holiday")));
  EXPECT_THAT(creating("broken", "foreign_throw"), HasSubstr("failed in construction: map::at"));
  EXPECT_THAT(creating("broken", "options_throw"), HasSubstr("failed in options: the options are"));
  EXPECT_THAT(creating("broken", "nothing"),
              HasSubstr("failed in its factory: it returned nothing"));
  EXPECT_THAT(creating("broken", "record"), HasSubstr("built for LibTorch 1.13.1"));
  EXPECT_THAT(creating("broken", "unresolved"),
              AllOf(HasSubstr("cannot open"), HasSubstr("a_function_that_nobody_defines"),
                    Not(HasSubstr("Bad file descriptor")), Not(HasSubstr("boost"))));
}

TEST(Registry, CallsAreGuarded) {
  auto registry = registry_of({"faulty"});
  auto mixer = registry->create_mixer("faulty_mixer", {{"d_model", OptionValue(int64_t{8})}});
  MixerContext context;
  EXPECT_THAT(
      error_of([&] { mixer->forward(at::randn({2, 5, 9}), context); }),
      AllOf(HasSubstr("mixer `faulty_mixer` 1.0.0 failed in forward"), HasSubstr("[2, 5, 9]")));
  State foreign;
  context.state = &foreign;
  EXPECT_THAT(error_of([&] { mixer->forward(at::randn({2, 5, 8}), context); }),
              HasSubstr("this state has no tensor `h`"));
}

TEST(Registry, CapabilitiesOfTokenizersAreGuarded) {
  auto registry = registry_of({"faulty"});
  auto tokenizer = registry->create_tokenizer("faulty_codec", {});
  auto* codec = static_cast<AudioCodec*>(tokenizer->query(AudioCodec::kId));
  auto* files = static_cast<CodeFiles*>(tokenizer->query(CodeFiles::kId));
  auto* identity = static_cast<Identity*>(tokenizer->query(Identity::kId));
  ASSERT_TRUE(codec && files && identity);
  EXPECT_EQ(codec->hop_length(), 8);
  EXPECT_EQ(codec->samples(codec->steps(9)), 16);
  EXPECT_EQ(files->extension(), ".faulty");
  EXPECT_EQ(identity->identity().count("steps"), 1u);
  EXPECT_THAT(error_of([&] { files->parse("abc"); }),
              HasSubstr("tokenizer `faulty_codec` 1.0.0 failed in reading a code file: it is cut"));
  const auto decoder = codec->new_decoder();
  decoder->push(at::zeros({2, 1}, at::kLong));
  EXPECT_THAT(error_of([&] { decoder->push(at::zeros({1, 1}, at::kLong)); }),
              HasSubstr("`faulty_codec` 1.0.0 failed in streaming decode: a piece of 1 codebooks"));
  EXPECT_FALSE(tokenizer->query("no.such/1"));
  EXPECT_FALSE(registry->create_tokenizer("faulty_tokenizer", {})->query(AudioCodec::kId));
}

TEST(Registry, CapabilitiesOfPlugins) {
  auto registry = registry_of({"faulty", "old"});
  const void* answer = registry->query("tokenizer", "faulty_codec", "answer/1");
  ASSERT_TRUE(answer);
  EXPECT_EQ(*static_cast<const int*>(answer), 42);
  EXPECT_FALSE(registry->query("tokenizer", "faulty_codec", "another/1"));
  EXPECT_FALSE(registry->query("tokenizer", "faulty_tokenizer", "answer/1"));
  EXPECT_FALSE(registry->query("mixer", "old_record", "answer/1"))
      << "what lies behind the end of an older record must not be called";
  EXPECT_TRUE(registry->create_mixer("old_record", {}));
  EXPECT_THAT(error_of([&] { registry->query("tokenizer", "nothing", "answer/1"); }),
              HasSubstr("unknown tokenizer `nothing`"));
}

TEST(Registry, OptionsAreChecked) {
  auto registry = registry_of({"faulty"});
  EXPECT_THAT(error_of([&] { registry->create_mixer("faulty_mixer", {}); }),
              HasSubstr("mixer `faulty_mixer` needs the option `d_model` (integer)"));
  EXPECT_THAT(
      error_of(
          [&] { registry->create_mixer("faulty_mixer", {{"d_modle", OptionValue(int64_t{8})}}); }),
      HasSubstr("unknown option `d_modle` of mixer `faulty_mixer`; did you mean `d_model`?"));
}

TEST(Registry, OptimizerGroupsOverrideDefaults) {
  auto registry = registry_of({"faulty"});
  auto weight = [](const char* name) {
    return NamedTensors{{name, at::ones({2, 2}).requires_grad_()}};
  };
  auto optimizer = registry->create_optimizer(
      "faulty_optimizer", {{weight("a"), {}}, {weight("b"), {{"lr", OptionValue(0.5)}}}},
      {{"lr", OptionValue(0.25)}});
  ASSERT_EQ(optimizer->groups().size(), 2u);
  EXPECT_EQ(optimizer->groups()[0].options.number("lr"), 0.25);
  EXPECT_EQ(optimizer->groups()[1].options.number("lr"), 0.5);
  EXPECT_THAT(error_of([&] {
                registry->create_optimizer("faulty_optimizer",
                                           {{weight("a"), {{"rate", OptionValue(0.5)}}}}, {});
              }),
              HasSubstr("unknown option `rate` of group 1 of optimizer `faulty_optimizer`"));
}

class Scale final : public Mixer {
 public:
  explicit Scale(double factor) : factor_(factor) {}
  at::Tensor forward(const at::Tensor& x, MixerContext&) override { return x * factor_; }
  State new_state(int64_t) const override { return {}; }

 private:
  double factor_;
};

TEST(Registry, MixersOfScripts) {
  auto registry = registry_of({"faulty"});
  auto creator = [](const Options& options) {
    return std::make_unique<Scale>(options.number("factor"));
  };
  registry->add_mixer("scale", {option::number("factor", "what to multiply by")}, creator);
  auto mixer = registry->create_mixer("scale", {{"factor", OptionValue(int64_t{3})}});
  MixerContext context;
  EXPECT_EQ(mixer->forward(at::ones({1}), context).item<float>(), 3);
  EXPECT_THAT(error_of([&] { registry->create_mixer("scale", {}); }),
              HasSubstr("needs the option"));
  EXPECT_THAT(error_of([&] { registry->create_mixer("scal", {}); }), HasSubstr("mean `scale`?"));
  EXPECT_THAT(error_of([&] { registry->add_mixer("faulty_mixer", {}, creator); }),
              HasSubstr("a name that the plugin"));
  EXPECT_THAT(error_of([&] { registry->add_mixer("bad", {option::number("x", "")}, creator); }),
              HasSubstr("without saying what it does"));
}

TEST(SearchPath, OrderAndMissingEntries) {
  ::setenv("GAMUT_PLUGIN_PATH", "/usr::/tmp", 1);
  const auto path = SearchPath::standard({"/var"});
  ::unsetenv("GAMUT_PLUGIN_PATH");
  ASSERT_EQ(path.entries.size(), 4u);
  EXPECT_EQ(path.entries[0], "/var");
  EXPECT_EQ(path.entries[1], "/usr");
  EXPECT_EQ(path.entries[2], "/tmp");
  EXPECT_EQ(path.entries[3], installation_folder() / "lib/gamut/plugins");
  EXPECT_THAT(error_of([] { SearchPath::standard({"/no/such/folder"}); }),
              HasSubstr("--plugin-path names `/no/such/folder`, which does not exist"));
}

}  // namespace
}  // namespace gamut::host
