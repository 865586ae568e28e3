// Dumps are exact templates; differences name keys with both values; expectations cite places.
#include <cmath>

#include "config/expect.h"
#include "fixture.h"

namespace gamut::config {
namespace {

using testing::HasSubstr;

constexpr const char* kYaml = R"(lr: 0.1
third: 0.3333333333333333
whole: 2.0
big: 1e+300
none: null
minutes: !number 3.0
label: !string "null x"
any: !scalar 7
text: "yes"
lines: "a\nb \"q\" ü"
betas: [0.9, 0.95]
empty: []
nested:
  deep:
    flag: true
mixer: !open
  name: gdn
options: !open {}
)";

TEST(Dump, IsExactAndATemplateItself) {
  std::string once = dump(template_of(kYaml));
  EXPECT_EQ(once, dump(template_of(once)));
  EXPECT_TRUE(diff(template_of(kYaml), template_of(once)).empty());
  Node again = template_of(once);
  EXPECT_EQ(value_at(again, "third"), Scalar(0.3333333333333333));
  EXPECT_EQ(value_at(again, "lines"), Scalar("a\nb \"q\" ü"));
  EXPECT_EQ(value_at(again, "text"), Scalar("yes"));
  EXPECT_TRUE(again.at_path("minutes")->optional);
  EXPECT_TRUE(again.at_path("mixer")->open);
  EXPECT_TRUE(again.at_path("options")->open);
}

TEST(Dump, BelowAnOpenMapNothingIsTagged) {
  const char* yaml = "mixers: !open\n  gdn:\n    n_heads: 4\n";
  EXPECT_EQ(dump(template_of(yaml)), yaml);
}

TEST(Dump, ServesAsALayerOfItsTemplate) {
  Node changed = overridden(kYaml, {"lr=0.25", "none=3", "mixer.width=8", "minutes=null"});
  Node again = layered(kYaml, dump(changed));
  EXPECT_TRUE(diff(changed, again).empty());
}

TEST(Diff, ListsChangedAddedAndRemovedKeys) {
  Node before = template_of("lr: 0.1\nname: a\nbetas: [1, 2]\n");
  Node after = template_of("lr: 0.2\nbetas: [1, 3]\nnew: {x: true}\n");
  std::vector<Change> changes = diff(before, after);
  ASSERT_EQ(changes.size(), 4u);
  EXPECT_EQ(changes[0].key + " " + changes[0].old_value + " " + changes[0].new_value, "lr 0.1 0.2");
  EXPECT_EQ(changes[1].new_value, "[1, 3]");
  EXPECT_EQ(changes[2].key + " " + changes[2].old_value, "new.x (not set)");
  EXPECT_EQ(changes[3].key + " " + changes[3].new_value, "name (not set)");
}

TEST(Expect, CitesTheValueInForce) {
  Node config =
      overridden("lr: 0.1\nbetas: [0.5, 1.5]\nheads: 6\nmode: fast\nlimit: null\n", {"lr=-1"});
  auto error = [&](const char* key, Expectation expectation) {
    return error_of([&] { check_expectation(*config.at_path(key), key, expectation); });
  };
  Expectation positive, below_one, of_four, modes;
  positive.above = 0;
  below_one.below = 1;
  of_four.multiple_of = 4;
  modes.one_of = {std::string("slow"), std::string("exact")};
  EXPECT_EQ(error("lr", positive), "argument `lr=-1`: `lr` is -1.0; it should be above 0");
  EXPECT_EQ(error("betas", below_one), "config.yaml:2: `betas.1` is 1.5; it should be below 1");
  EXPECT_EQ(error("heads", of_four), "config.yaml:3: `heads` is 6; it should be a multiple of 4");
  EXPECT_EQ(error("mode", modes), "config.yaml:4: `mode` is fast; it should be one of slow, exact");
  EXPECT_EQ(error("limit", positive), "no error");
  EXPECT_THAT(error("mode", positive), HasSubstr("should be a number"));
}

TEST(Expect, NotANumberFitsNoBound) {
  Node config = template_of("x: .nan\n");
  Expectation bound;
  bound.max = 1;
  EXPECT_THROW(check_expectation(*config.at_path("x"), "x", bound), Error);
}

}  // namespace
}  // namespace gamut::config
