// Looking operators up and naming them.
#include "script/schema.h"

#include <gmock/gmock.h>

namespace gamut::script {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

TEST(SchemaTest, FindsOperatorsAndKeepsThem) {
  const Operator* add = find_operator("aten", "add");
  ASSERT_NE(add, nullptr);
  EXPECT_EQ(find_operator("aten", "add"), add);
  EXPECT_EQ(find_operator("aten", "no_such_operator"), nullptr);
  EXPECT_EQ(add->out_overloads.empty(), false);
  for (const auto& overload : add->overloads) EXPECT_EQ(overload.outputs, 0u);
}

TEST(SchemaTest, Signature) {
  EXPECT_EQ(find_operator("aten", "softmax")->overloads[0].signature(),
            "softmax(Tensor self, integer dim, dtype? dtype = nil)");
  EXPECT_EQ(find_operator("aten", "add")->overloads[0].signature(),
            "add(Tensor self, Tensor other, {number alpha = 1})");
}

TEST(SchemaTest, NamedDimensionsAreLeftOut) {
  for (const auto& overload : find_operator("aten", "softmax")->overloads) {
    EXPECT_EQ(overload.op.operator_name().overload_name.find("Dimname"), std::string::npos);
  }
}

TEST(SchemaTest, NearestNames) {
  const std::vector<std::string> names = {"softmax", "softmin", "relu", "dim"};
  EXPECT_THAT(nearest_names(names, "sofmax"), Contains("softmax"));
  EXPECT_THAT(nearest_names(names, "rleu"), ElementsAre("relu"));
  EXPECT_THAT(nearest_names(names, "dmi"), ElementsAre("dim"));
  EXPECT_THAT(nearest_names(names, "entirely_else"), ElementsAre());
}

}  // namespace
}  // namespace gamut::script
