// What plain scalars mean, and that numbers survive being written.
#include "config/scalar.h"

#include <cmath>
#include <limits>

#include "fixture.h"

namespace gamut::config {
namespace {

using testing::VariantWith;

TEST(Scalar, NumbersAreReadByYaml12Rules) {
  EXPECT_EQ(read_scalar("1e-3"), Scalar(1e-3));
  EXPECT_EQ(read_scalar("3.e2"), Scalar(300.0));
  EXPECT_EQ(read_scalar("-.5"), Scalar(-0.5));
  EXPECT_EQ(read_scalar("+7"), Scalar(int64_t{7}));
  EXPECT_EQ(read_scalar("0x1F"), Scalar(int64_t{31}));
  EXPECT_EQ(read_scalar("0o17"), Scalar(int64_t{15}));
  EXPECT_EQ(read_scalar("-9223372036854775808"), Scalar(std::numeric_limits<int64_t>::min()));
  EXPECT_EQ(read_scalar("-.inf"), Scalar(-HUGE_VAL));
  EXPECT_TRUE(std::isnan(std::get<double>(read_scalar(".nan"))));
}

TEST(Scalar, OnlyTrueAndFalseAreBooleans) {
  EXPECT_EQ(read_scalar("true"), Scalar(true));
  EXPECT_EQ(read_scalar("False"), Scalar(false));
  EXPECT_EQ(read_scalar("yes"), Scalar("yes"));
  EXPECT_EQ(read_scalar("tRue"), Scalar("tRue"));
}

TEST(Scalar, NullHasFourSpellings) {
  for (const char* text : {"", "~", "null", "NULL"}) EXPECT_EQ(read_scalar(text), Scalar());
}

TEST(Scalar, TextsThatYamlVersionsReadDifferentlyAreAmbiguous) {
  for (const char* text : {"yes", "Off", "n", "010", "-007", "1_000", "12:30", "1:30:15.5"}) {
    EXPECT_TRUE(ambiguity(text)) << text;
    EXPECT_EQ(read_scalar(text), Scalar(text));
  }
  for (const char* text : {"10", "0", "0.5", "1e5", "none", "a_b", "v1_000", "C:30"}) {
    EXPECT_FALSE(ambiguity(text)) << text;
  }
}

TEST(Scalar, NumbersBeyondTheirTypeAreRefused) {
  EXPECT_THROW(read_scalar("9223372036854775808"), Error);
  EXPECT_THROW(read_scalar("1e999"), Error);
}

TEST(Scalar, WrittenNumbersReadBackToTheSameBits) {
  for (double number : {0.1, 1e-3, 1.0 / 3, 1e300, 5e-324, -0.0, 1.0, 123456789.0, HUGE_VAL}) {
    Scalar again = read_scalar(scalar_yaml(number));
    ASSERT_THAT(again, VariantWith<double>(number)) << scalar_yaml(number);
    EXPECT_EQ(std::signbit(std::get<double>(again)), std::signbit(number));
  }
}

TEST(Scalar, StringsAreQuotedOnlyWhereTheyWouldChange) {
  EXPECT_EQ(string_yaml("adamw"), "adamw");
  EXPECT_EQ(string_yaml("../data/a.bin"), "../data/a.bin");
  for (const char* text :
       {"", "true", "yes", "null", "5", ".5", "a b", "a: b", "#x", "- x", "\t"}) {
    EXPECT_EQ(string_yaml(text)[0], '"') << text;
  }
}

}  // namespace
}  // namespace gamut::config
