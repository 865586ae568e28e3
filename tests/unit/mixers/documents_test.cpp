// Packed documents as the SDK hands them to mixers.
#include <gamut/documents.h>

#include "support.h"

namespace gamut {
namespace {

using test::offsets;

std::string refusal(const at::Tensor& cu_seqlens) {
  try {
    Documents(cu_seqlens, 2, 10);
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Documents, RowsAreDocumentsWithoutOffsets) {
  const Documents d({}, 3, 5);
  EXPECT_FALSE(d.packed());
  EXPECT_EQ(d.size(), 3);
  EXPECT_FALSE(d.cu_seqlens().defined());
  EXPECT_TRUE(d.is_first(1) && d.is_last(1));
}

TEST(Documents, KnowsRowsAndPositionsAndDropsEmptyOnes) {
  const Documents d(offsets({0, 4, 4, 10, 10, 20, 20}), 2, 10);
  EXPECT_EQ(d.offsets(), (std::vector<int64_t>{0, 4, 10, 20}));
  EXPECT_TRUE(at::equal(d.first_of_row(), offsets({0, 2})));
  EXPECT_TRUE(at::equal(d.last_of_row(), offsets({1, 2})));
  EXPECT_TRUE(at::equal(d.position_in_document()[0], offsets({0, 1, 2, 3, 0, 1, 2, 3, 4, 5})));
}

TEST(Documents, RefusesInWords) {
  EXPECT_THAT(refusal(offsets({0, 10, 19})), testing::HasSubstr("from 0 to 20"));
  EXPECT_THAT(refusal(offsets({0, 12, 20})), testing::HasSubstr("10 is missing"));
  EXPECT_THAT(refusal(offsets({0, 20})), testing::HasSubstr("10 is missing"));
  EXPECT_THAT(refusal(offsets({0, 10, 15, 13, 20})), testing::HasSubstr("must not decrease"));
  EXPECT_THAT(refusal(offsets({0, 10, 20}).to(at::kInt)), testing::HasSubstr("int64"));
  EXPECT_THAT(refusal(offsets({0})), testing::HasSubstr("at least two"));
}

}  // namespace
}  // namespace gamut
