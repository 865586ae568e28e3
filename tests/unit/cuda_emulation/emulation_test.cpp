// The emulator finds planted faults in kernels, and nothing in the same kernels without them.
#include "cuda/emulation/emulation.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "planted.h"

namespace gamut::cuda::test {
namespace {

using emulation::order_dependence;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kThreads = 96;

std::vector<float> counted(int count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

std::string words_of(const Status& status) {
  return status.ok() ? "" : std::string(status.kernel) + ": " + status.message;
}

// What a kernel leaves in `count` floats that were NaN.
template <class Run>
std::vector<float> result_of(int count, const Run& run) {
  std::vector<float> out(count, NAN);
  EXPECT_EQ(words_of(run(out.data())), "");
  return out;
}

std::string dependence_of(int count, const std::function<Status(float*)>& run) {
  return order_dependence([&] { return bytes_of(result_of(count, run)); });
}

TEST(Emulation, FindsAMissingBarrier) {
  const auto in = counted(kThreads);
  const auto run = [&](Fault fault) {
    return dependence_of(kThreads,
                         [&](float* out) { return neighbours(out, in.data(), kThreads, fault); });
  };
  EXPECT_EQ(run(Fault::none), "");
  EXPECT_THAT(run(Fault::planted), HasSubstr("depends on the order of threads"));
}

TEST(Emulation, FindsARaceToOneAddress) {
  const auto in = counted(kThreads);
  const auto run = [&](Fault fault) {
    return order_dependence([&] {
      std::vector<float> out(1);
      EXPECT_EQ(words_of(last_of(out.data(), in.data(), kThreads, fault)), "");
      return bytes_of(out);
    });
  };
  EXPECT_EQ(run(Fault::none), "");
  EXPECT_THAT(run(Fault::planted), HasSubstr("depends on the order of threads"));
}

TEST(Emulation, FindsAMissingWaitForACopy) {
  const auto in = counted(4 * kThreads);
  const auto run = [&](Fault fault) {
    return result_of(4 * kThreads,
                     [&](float* out) { return copied(out, in.data(), kThreads, fault); });
  };
  EXPECT_EQ(run(Fault::none), in);
  EXPECT_TRUE(std::isnan(run(Fault::planted)[0]));
}

}  // namespace
}  // namespace gamut::cuda::test
