// Templates, layers, arguments, and the sentences of their errors.
#include "fixture.h"

namespace gamut::config {
namespace {

using testing::HasSubstr;

constexpr const char* kTemplate = R"(seed: 1
lr: 0.001
name: base
compile: false
limit: null
minutes: !number null
betas: [0.9, 0.95]
optimizer:
  weight_decay: 0.1
  steps: 100
mixer: !open
  name: gdn
  n_heads: 4
)";

std::string layer_error(const std::string& layer) {
  return error_of([&] { layered(kTemplate, layer); });
}

std::string argument_error(const std::string& argument) {
  return error_of([&] { overridden(kTemplate, {argument}); });
}

TEST(Resolve, LaterLayersWin) {
  Node config = layered(kTemplate, "lr: 0.5\noptimizer: {steps: 7}\n");
  apply_override(config, "optimizer.steps=9");
  EXPECT_EQ(value_at(config, "lr"), Scalar(0.5));
  EXPECT_EQ(value_at(config, "optimizer.steps"), Scalar(int64_t{9}));
  EXPECT_EQ(value_at(config, "optimizer.weight_decay"), Scalar(0.1));
  EXPECT_EQ(config.at_path("lr")->source.text(), "extra.yaml:1");
  EXPECT_EQ(config.at_path("lr")->declaration.text(), "config.yaml:2");
  EXPECT_EQ(config.at_path("optimizer.steps")->source.text(), "argument `optimizer.steps=9`");
  EXPECT_EQ(config.at_path("seed")->source.text(), "config.yaml:1");
}

TEST(Resolve, AnIntegerServesAsNumber) {
  EXPECT_EQ(value_at(overridden(kTemplate, {"lr=1"}), "lr"), Scalar(1.0));
  EXPECT_EQ(value_at(layered(kTemplate, "betas: [0, 1]"), "betas.1"), Scalar(1.0));
}

TEST(Resolve, UnknownKeysNameTheNearest) {
  EXPECT_EQ(layer_error("\n\noptimizer:\n  weigth_decay: 0\n"),
            "extra.yaml:4: unknown key `optimizer.weigth_decay`; did you mean "
            "`optimizer.weight_decay`?");
  EXPECT_THAT(argument_error("sed=3"),
              HasSubstr("argument `sed=3`: unknown key `sed`; did you mean `seed`?"));
  EXPECT_THAT(argument_error("zzzzzzzzz=3"), HasSubstr("known: "));
}

TEST(Resolve, WrongTypesNameBothPlaces) {
  EXPECT_EQ(layer_error("lr: fast"),
            "extra.yaml:1: `lr` should be a number, not string `fast` (declared at config.yaml:2)");
  EXPECT_THAT(argument_error("seed=1.5"), HasSubstr("should be an integer, not number `1.5`"));
  EXPECT_THAT(argument_error("seed=1e3"), HasSubstr("write 1000"));
  EXPECT_THAT(argument_error("compile=yes"), HasSubstr("write true"));
  EXPECT_THAT(argument_error("compile=1"), HasSubstr("should be a boolean, not integer `1`"));
  EXPECT_THAT(layer_error("lr: \"0.1\""), HasSubstr("remove the quotes"));
  EXPECT_THAT(layer_error("lr:\n"), HasSubstr("should be a number, not null"));
  EXPECT_THAT(layer_error("lr: [1]"), HasSubstr("should be a number, not a list"));
  EXPECT_THAT(layer_error("betas: 0.9"), HasSubstr("`betas` should be a list"));
  EXPECT_THAT(layer_error("betas: [0.9, x]"), HasSubstr("`betas.1` should be a number"));
  EXPECT_THAT(layer_error("optimizer: adamw"), HasSubstr("`optimizer` should be a map"));
  EXPECT_THAT(layer_error("optimizer:\n"), HasSubstr("`optimizer` should be a map, not null"));
  EXPECT_THAT(argument_error("lr.x=1"), HasSubstr("`lr` is a number and has no key `x`"));
}

TEST(Resolve, StringsTakeTextButFilesMustQuoteWhatLooksOtherwise) {
  EXPECT_EQ(value_at(overridden(kTemplate, {"name=5"}), "name"), Scalar("5"));
  EXPECT_EQ(value_at(overridden(kTemplate, {"name=a: [b"}), "name"), Scalar("a: [b"));
  EXPECT_EQ(value_at(overridden(kTemplate, {"name='q'"}), "name"), Scalar("q"));
  EXPECT_EQ(value_at(overridden(kTemplate, {"name="}), "name"), Scalar(""));
  EXPECT_EQ(value_at(overridden(kTemplate, {"name=a=b"}), "name"), Scalar("a=b"));
  EXPECT_EQ(value_at(layered(kTemplate, "name: yes"), "name"), Scalar("yes"));
  EXPECT_EQ(value_at(layered(kTemplate, "name: \"5\""), "name"), Scalar("5"));
  EXPECT_THAT(layer_error("name: 5"), HasSubstr("quote it if the text is meant"));
}

TEST(Resolve, NullDeclaresOptionalValues) {
  EXPECT_EQ(value_at(overridden(kTemplate, {"limit=5"}), "limit"), Scalar(int64_t{5}));
  EXPECT_EQ(value_at(overridden(kTemplate, {"limit=all"}), "limit"), Scalar("all"));
  EXPECT_EQ(value_at(overridden(kTemplate, {"limit=5", "limit=null"}), "limit"), Scalar());
  EXPECT_EQ(value_at(overridden(kTemplate, {"minutes=5"}), "minutes"), Scalar(5.0));
  EXPECT_THAT(argument_error("minutes=soon"), HasSubstr("should be a number or null, not string"));
}

TEST(Resolve, ListsAreReplacedAndIndexed) {
  Node config = overridden(kTemplate, {"betas=[0.1, 0.2, 0.3]", "betas.2=1"});
  EXPECT_EQ(dump_flow(*config.at_path("betas")), "[0.1, 0.2, 1.0]");
  EXPECT_THAT(argument_error("betas.2=1"), HasSubstr("list of 2 items, counted from 0"));
  EXPECT_THAT(argument_error("betas.0=x"), HasSubstr("`betas.0` should be a number"));
  EXPECT_THAT(argument_error("betas=[1, 2"), HasSubstr("argument `betas=[1, 2`: not valid YAML"));
}

TEST(Resolve, OpenMapsTakeAnythingAndNullRemoves) {
  Node config =
      overridden(kTemplate, {"mixer.window=128", "mixer.n_heads=null", "mixer.conv.size=4"});
  EXPECT_EQ(dump_flow(*config.at_path("mixer")), "{name: gdn, window: 128, conv: {size: 4}}");
  config = layered(kTemplate, "mixer: {n_heads: [1, 2], name: attention}");
  EXPECT_EQ(dump_flow(*config.at_path("mixer")), "{name: attention, n_heads: [1, 2]}");
  EXPECT_THAT(argument_error("mixer.flag=yes"), HasSubstr("ambiguous"));
}

TEST(Resolve, ListsOfMapsAreCheckedToBeMaps) {
  const char* yaml = "groups: [{lr: 1}]\n";
  EXPECT_EQ(dump(layered(yaml, "groups: [{lr: 2}, {lr: 3, x: a}]")),
            "groups: [{lr: 2}, {lr: 3, x: a}]\n");
  EXPECT_EQ(dump(overridden(yaml, {"groups.0.lr=5"})), "groups: [{lr: 5}]\n");
  EXPECT_THAT(error_of([&] { layered(yaml, "groups: [3]"); }),
              HasSubstr("`groups.0` should be a map"));
}

TEST(Resolve, MalformedArgumentsAreRefused) {
  EXPECT_THAT(argument_error("lr"), HasSubstr("write a setting as `key=value`"));
  EXPECT_THAT(argument_error("=3"), HasSubstr("write a setting as `key=value`"));
  EXPECT_THAT(argument_error("optimizer..lr=3"), HasSubstr("`optimizer..lr` is not a key"));
}

TEST(Resolve, TemplatesRefuseWhatIsUnclear) {
  auto error = [](const char* yaml) { return error_of([&] { template_of(yaml); }); };
  EXPECT_THAT(error("ema: no"), HasSubstr("config.yaml:1: `ema`: `no` is ambiguous; write false"));
  EXPECT_THAT(error("a: 010"), HasSubstr("leading zero"));
  EXPECT_THAT(error("a: 1_000"), HasSubstr("underscores"));
  EXPECT_THAT(error("a: !int 3"), HasSubstr("tag `!int` is not one of"));
  EXPECT_THAT(error("a: !number x"), HasSubstr("should be a number or null"));
  EXPECT_THAT(error("unused: 1"), HasSubstr("name of a function of configurations"));
  EXPECT_THAT(error("- 1"), HasSubstr("a configuration is a map"));
  EXPECT_EQ(template_of("").members.size(), 0u);
}

}  // namespace
}  // namespace gamut::config
