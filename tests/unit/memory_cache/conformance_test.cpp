// The mixers' conformance suite on memory_cache, with segments short enough that many are cached.
#include <sstream>

#include "oracle.h"
#include "plugin_host/conformance.h"

namespace gamut::test {
namespace {

using Case = std::tuple<Inner, Variant>;

class MemoryCacheConformance : public ::testing::TestWithParam<Case> {};

TEST_P(MemoryCacheConformance, Suite) {
  const auto& [inner, variant] = GetParam();
  auto options = wrapping(inner, variant.options());
  std::ostringstream out;
  host::ConformanceReport report(out);
  host::check_mixer([&] { return registry().create_mixer("memory_cache", options); }, kWidth,
                    report);
  EXPECT_TRUE(report.finish("memory_cache")) << out.str();
}

// Every aggregation, segmentation and carry-over at least once around each mixer.
std::vector<Variant> covering() {
  std::vector<Variant> list;
  const char* const rows[][3] = {{"gated_residual", "constant", "checkpoint"},
                                 {"soup", "logarithmic", "independent"},
                                 {"sparse", "constant", "independent"},
                                 {"residual", "logarithmic", "checkpoint"}};
  for (const auto& row : rows) {
    Variant v;
    v.aggregation = row[0];
    v.segments = row[1];
    v.carry_over = row[2];
    v.segment_size = 16;
    list.push_back(v);
  }
  return list;
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return std::string(std::get<0>(info.param).label) + "_" + std::get<1>(info.param).name();
}

INSTANTIATE_TEST_SUITE_P(All, MemoryCacheConformance,
                         ::testing::Combine(::testing::ValuesIn(inners()),
                                            ::testing::ValuesIn(covering())),
                         case_name);

}  // namespace
}  // namespace gamut::test
