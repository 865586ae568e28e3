// Option values against their declarations.
#include "plugin_host/options_check.h"

#include <cmath>

#include "test_plugins.h"
#include "text/nearest.h"

namespace gamut::host {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using Integers = std::vector<int64_t>;
using Numbers = std::vector<double>;

OptionMap one(const char* name, OptionValue value) {
  return {{name, std::move(value)}};
}

// What checking gives for one option, or the refusal.
std::string refusal(const OptionSpec& spec, OptionValue value) {
  return error_of([&] { check_options({spec}, one(spec.name.c_str(), value), "mixer `m`"); });
}

const OptionSpec kHeads =
    option::integer("n_heads", "number of heads").value(int64_t{4}).at_least(1);
const OptionSpec kRate = option::number("dropout", "share").value(0.0).at_least(0).below(1);

TEST(Options, UnknownNameGetsTheNearest) {
  EXPECT_EQ(
      error_of([] { check_options({kHeads, kRate}, one("n_head", 1.0), "mixer `attention`"); }),
      "unknown option `n_head` of mixer `attention`; did you mean `n_heads`?");
  EXPECT_EQ(error_of([] { check_options({kHeads, kRate}, one("zzz", 1.0), "mixer `m`"); }),
            "unknown option `zzz` of mixer `m`; known: `dropout`, `n_heads`");
  EXPECT_THAT(error_of([] { check_options({}, one("zzz", 1.0), "mixer `m`"); }),
              HasSubstr("which has no options"));
}

TEST(Options, DefaultsAreFilledIn) {
  const Options options = check_options({kHeads, kRate}, {}, "mixer `m`");
  EXPECT_EQ(options.integer("n_heads"), 4);
  EXPECT_EQ(options.number("dropout"), 0.0);
}

TEST(Options, RequiredOptionalAndAllowedMissing) {
  const OptionSpec required = option::number("lr", "learning rate");
  EXPECT_EQ(error_of([&] { check_options({required}, {}, "optimizer `o`"); }),
            "optimizer `o` needs the option `lr` (number): learning rate");
  EXPECT_FALSE(check_options({required}, {}, "o", Missing::allowed).has("lr"));
  EXPECT_FALSE(check_options({option::number("lr", "rate").optional()}, {}, "o").has("lr"));
}

TEST(Options, NumbersConvertAsInLua) {
  auto checked = [](const OptionSpec& spec, OptionValue value) {
    return check_options({spec}, one(spec.name.c_str(), std::move(value)), "m");
  };
  EXPECT_EQ(checked(kHeads, 8.0).integer("n_heads"), 8);
  EXPECT_EQ(checked(kRate, int64_t{0}).number("dropout"), 0.0);
  EXPECT_EQ(checked(option::integers("sizes", "x"), Numbers{1, 2}).integers("sizes"),
            (Integers{1, 2}));
  EXPECT_EQ(checked(option::numbers("betas", "x"), Integers{0, 1}).numbers("betas"),
            (Numbers{0, 1}));
  EXPECT_TRUE(checked(option::table("inner", "x"), Integers{}).table("inner").empty());
  EXPECT_TRUE(checked(option::numbers("betas", "x"), std::make_shared<const OptionMap>())
                  .numbers("betas")
                  .empty());
}

TEST(Options, WrongTypes) {
  EXPECT_EQ(refusal(kHeads, 4.5),
            "option `n_heads` of mixer `m` takes a value of type integer, not the number 4.5");
  EXPECT_THAT(refusal(kHeads, true), HasSubstr("not the boolean true"));
  EXPECT_THAT(refusal(kHeads, 1e300), HasSubstr("integer, not the number 1e+300"));
  EXPECT_THAT(refusal(kHeads, std::string("4")), HasSubstr("not the string \"4\""));
  EXPECT_THAT(refusal(kRate, false), HasSubstr("not the boolean"));
  EXPECT_THAT(refusal(option::boolean("b", "x"), int64_t{1}),
              HasSubstr("boolean, not the integer 1"));
  EXPECT_THAT(refusal(option::integers("l", "x"), Numbers{1, 2.5}), HasSubstr("{1, 2.5}"));
  EXPECT_THAT(refusal(option::numbers("l", "x"), 1.0),
              HasSubstr("list of numbers, not the number"));
}

TEST(Options, Ranges) {
  EXPECT_EQ(refusal(kHeads, int64_t{0}), "option `n_heads` of mixer `m` is 0; allowed: at least 1");
  EXPECT_EQ(refusal(kRate, 1.0),
            "option `dropout` of mixer `m` is 1; allowed: at least 0, below 1");
  EXPECT_EQ(refusal(kRate, 0.999), "");
  EXPECT_NE(refusal(option::number("eps", "x").above(0), 0.0), "");
  EXPECT_NE(refusal(option::number("x", "x"), std::nan("")), "");
  EXPECT_EQ(refusal(option::number("x", "x"), INFINITY), "");
  EXPECT_NE(refusal(option::numbers("betas", "x").at_least(0).below(1), Numbers{0.9, 1.0}), "");
}

TEST(Options, Choices) {
  const OptionSpec gate = option::string("gate", "activation").one_of({"silu", "none"});
  EXPECT_EQ(refusal(gate, std::string("silu")), "");
  EXPECT_THAT(refusal(gate, std::string("slu")),
              AllOf(HasSubstr("allowed: \"silu\", \"none\""), HasSubstr("did you mean \"silu\"?")));
}

TEST(Options, WrongDeclarations) {
  auto wrong = [](OptionTable table) { return error_of([&] { check_table(table, "mixer `m`"); }); };
  EXPECT_EQ(wrong({kHeads, kRate}), "");
  EXPECT_THAT(wrong({kHeads, kHeads}), HasSubstr("twice"));
  EXPECT_THAT(wrong({option::number("x", "doc").value(-1.0).at_least(0)}),
              HasSubstr("defaults of"));
  EXPECT_THAT(wrong({option::number("x", "doc").at_least(2).at_most(1)}), HasSubstr("empty range"));
  EXPECT_THAT(wrong({option::number("x", "doc").value(1.0).optional()}), HasSubstr("both"));
}

TEST(Options, RangesThatArePartOfADeclaration) {
  auto wrong = [](const OptionSpec& spec) {
    return error_of([&] { check_ranges({spec}, "mixer `m`"); });
  };
  EXPECT_EQ(wrong(kHeads), "");
  EXPECT_EQ(wrong(option::number("bias", "doc")), "");
  EXPECT_EQ(wrong(option::number("dropout", "doc").value(0.0).at_least(0).below(1)), "");
  EXPECT_THAT(wrong(option::integer("n", "doc")), HasSubstr("`n` as any integer"));
  EXPECT_THAT(wrong(option::integers("ns", "doc").at_most(3)), HasSubstr("`ns` as any integer"));
  EXPECT_THAT(wrong(option::number("attn_dropout", "doc").value(0.0)), HasSubstr("any value"));
  EXPECT_THAT(wrong(option::number("dropout", "doc").value(0.1).at_least(0).below(1)),
              HasSubstr("by default"));
}

TEST(Options, FromTheCommandLine) {
  auto text = [](const OptionSpec& spec, const char* value) {
    return to_text(parse_option(spec, value, "m"));
  };
  EXPECT_EQ(text(kHeads, "8"), "8");
  EXPECT_EQ(text(kRate, "0.25"), "0.25");
  EXPECT_EQ(text(option::boolean("b", "x"), "true"), "true");
  EXPECT_EQ(text(option::string("s", "x"), "12"), "\"12\"");
  EXPECT_EQ(text(option::integers("l", "x"), "1,2,3"), "{1, 2, 3}");
  EXPECT_EQ(text(option::numbers("l", "x"), "0.9,0.95"), "{0.9, 0.95}");
  EXPECT_THAT(error_of([&] { text(kHeads, "four"); }), HasSubstr("not the string \"four\""));
  EXPECT_THAT(error_of([&] { text(option::integers("l", "x"), "1,b"); }), HasSubstr("\"1,b\""));
}

TEST(Options, AskingForAnotherTypeIsAnError) {
  const Options options = check_options({kHeads}, {}, "m");
  EXPECT_THAT(error_of([&] { options.number("n_heads"); }), HasSubstr("another type"));
  EXPECT_THAT(error_of([&] { options.number("n_head"); }), HasSubstr("is not set"));
}

TEST(Nearest, Distance) {
  EXPECT_EQ(text::edit_distance("", "abc"), 3u);
  EXPECT_EQ(text::edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(text::edit_distance("d_modle", "d_model"), 1u);  // neighbours swapped
  EXPECT_EQ(text::edit_distance("LR", "lr"), 0u);
}

TEST(Nearest, SuggestsOnlyWhatIsNear) {
  const std::vector<std::string> known = {"n_heads", "head_dim", "rope"};
  EXPECT_EQ(text::nearest("heads_n", known), "");
  EXPECT_EQ(text::nearest("n_headz", known), "n_heads");
  EXPECT_EQ(text::nearest("headdim", known), "head_dim");
  EXPECT_EQ(text::nearest("xy", {"ab"}), "");
}

}  // namespace
}  // namespace gamut::host
