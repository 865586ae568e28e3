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

TEST(Emulation, FindsACopyIntoWhatIsStillRead) {
  const auto in = counted(8 * kThreads);
  const auto run = [&](Fault fault) {
    return dependence_of(8 * kThreads,
                         [&](float* out) { return two_tiles(out, in.data(), kThreads, fault); });
  };
  EXPECT_EQ(run(Fault::none), "");
  EXPECT_THAT(run(Fault::planted), HasSubstr("depends on the order of threads"));
}

TEST(Emulation, FindsSharedMemoryThatWasNeverWritten) {
  const auto run = [&](Fault fault) {
    return result_of(kThreads, [&](float* out) { return sum_of_shared(out, kThreads, fault); });
  };
  EXPECT_EQ(run(Fault::none), std::vector<float>(kThreads, kThreads));
  EXPECT_TRUE(std::isnan(run(Fault::planted)[0]));
}

// AddressSanitizer ends the program.
TEST(EmulationDeathTest, FindsWritesOutOfBounds) {
  const auto run = [&](Beyond where) {
    return result_of(kThreads, [&](float* out) { return beyond(out, kThreads, where); });
  };
  EXPECT_EQ(run(Beyond::nothing), std::vector<float>(kThreads, 3));
  const std::string where =
      "In kernel `beyond`, block 0, thread 95:\n==[0-9]+==ERROR: AddressSanitizer: ";
  EXPECT_DEATH(run(Beyond::first_piece), where + "use-after-poison");
  EXPECT_DEATH(run(Beyond::last_piece), where + "use-after-poison");
  EXPECT_DEATH(run(Beyond::global), where + "heap-buffer-overflow");
}

TEST(EmulationDeathTest, FindsMisalignedVectors) {
  const auto in = counted(1024);
  const auto run = [&](Access access) {
    std::vector<float> out(32);
    return words_of(misaligned(out.data(), in.data(), 32, access));
  };
  EXPECT_EQ(run(Access::aligned), "");
  EXPECT_DEATH(run(Access::vector), "misaligned address");
  EXPECT_THAT(run(Access::copy), AllOf(HasSubstr("misaligned: block 0, thread 0: copy_async16"),
                                       HasSubstr("not a multiple of 16")));
  EXPECT_THAT(run(Access::matrix), AllOf(HasSubstr("thread 31: ldmatrix_x4"),
                                         HasSubstr("not a multiple of 16 (planted.cu:")));
}

TEST(Emulation, SaysWhereMoreSharedMemoryIsTakenThanGiven) {
  const auto run = [&](Fault fault) {
    std::vector<float> out(kThreads);
    return words_of(takes_more(out.data(), kThreads, fault));
  };
  EXPECT_EQ(run(Fault::none), "");
  EXPECT_THAT(run(Fault::planted),
              HasSubstr("piece 0 of shared memory ends at byte 388, but the launch gave 384"));
}

TEST(Emulation, SaysWhereLanesDiverge) {
  const auto run = [&](Divergence how) {
    std::vector<float> out(kThreads);
    return words_of(diverging(out.data(), kThreads, how));
  };
  EXPECT_EQ(run(Divergence::none), "");
  EXPECT_THAT(run(Divergence::skipped),
              AllOf(HasSubstr("diverging: block 0, thread 1: is at __syncwarp (planted.cu:"),
                    HasSubstr("while thread 0 of its warp is at __shfl_xor_sync (planted.cu:")));
  EXPECT_THAT(run(Divergence::left),
              HasSubstr("thread 1: leaves the kernel while thread 0 of its warp waits at"));
  EXPECT_THAT(run(Divergence::other_line), HasSubstr("must come to the same ones"));
  EXPECT_THAT(run(Divergence::barrier), HasSubstr("is at __syncthreads (planted.cu:"));
}

TEST(Emulation, SaysWhoLeavesABarrierOut) {
  const auto run = [&](Fault fault) {
    std::vector<float> out(kThreads);
    return words_of(leaving(out.data(), kThreads, fault));
  };
  EXPECT_EQ(run(Fault::none), "");
  EXPECT_THAT(run(Fault::planted),
              HasSubstr("thread 64: leaves the kernel while thread 0 waits at __syncthreads"));
}

// What a failed block leaves behind does not reach the next.
TEST(Emulation, GoesOnAfterAFault) {
  for (int i = 0; i < 20; ++i) {
    std::vector<float> out(kThreads);
    EXPECT_NE(words_of(diverging(out.data(), kThreads, Divergence::left)), "");
    EXPECT_EQ(words_of(diverging(out.data(), kThreads, Divergence::none)), "");
    EXPECT_EQ(out[4], 5);
  }
}

TEST(Emulation, RefusesImpossibleLaunches) {
  std::vector<float> out(2048);
  EXPECT_THAT(words_of(leaving(out.data(), 2048, Fault::none)), HasSubstr("1 to 1024 threads"));
  EXPECT_THAT(words_of(leaving(out.data(), 33, Fault::none)), HasSubstr("whole warps"));
  EXPECT_THAT(words_of(leaving(out.data(), 0, Fault::none)), HasSubstr("1 to 1024 threads"));
}

}  // namespace
}  // namespace gamut::cuda::test
