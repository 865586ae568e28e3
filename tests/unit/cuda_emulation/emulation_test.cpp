// The emulator finds planted faults in kernels, and nothing in the same kernels without them.
#include "cuda/emulation/emulation.h"

#include <gmock/gmock.h>

#include <algorithm>
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

// By number and in random orders.
void expect_in_every_order(const std::function<void()>& check) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const emulation::ScopedOrder order({seed});
    check();
  }
}

TEST(Emulation, FindsAMissingBarrier) {
  const auto in = counted(kThreads);
  auto expected = counted(kThreads);
  std::rotate(expected.begin(), expected.begin() + 1, expected.end());
  expect_in_every_order([&] {
    std::vector<float> out(kThreads);
    EXPECT_EQ(words_of(neighbours(out.data(), in.data(), kThreads, Fault::none)), "");
    EXPECT_EQ(out, expected);
    EXPECT_THAT(words_of(neighbours(out.data(), in.data(), kThreads, Fault::planted)),
                AllOf(HasSubstr("neighbours: block 0, thread "), HasSubstr("(planted.cu:"),
                      HasSubstr("of piece 0 of shared memory"),
                      HasSubstr("with no barrier between the two")));
  });
}

TEST(Emulation, FindsAMissingBarrierOfAWarp) {
  const auto in = counted(kThreads);
  std::vector<float> place(kThreads);
  for (float* where : {static_cast<float*>(nullptr), place.data()}) {
    expect_in_every_order([&] {
      std::vector<float> out(kThreads);
      EXPECT_EQ(words_of(in_warps(out.data(), in.data(), where, kThreads, Fault::none)), "");
      EXPECT_EQ(out[6], 8);
      EXPECT_THAT(words_of(in_warps(out.data(), in.data(), where, kThreads, Fault::planted)),
                  AllOf(HasSubstr(where == nullptr ? "of shared memory" : "global memory"),
                        HasSubstr("with no barrier between the two")));
    });
  }
}

TEST(Emulation, FindsSumsThatAreNotAtomic) {
  const auto in = counted(kThreads);
  expect_in_every_order([&] {
    std::vector<float> out(kThreads);
    EXPECT_EQ(words_of(sum(out.data(), in.data(), kThreads, Fault::none)), "");
    EXPECT_EQ(out, std::vector<float>(kThreads, kThreads * (kThreads + 1) / 2));
    EXPECT_THAT(words_of(sum(out.data(), in.data(), kThreads, Fault::planted)),
                HasSubstr("with no barrier between the two"));
  });
}

TEST(Emulation, FindsBlocksThatWriteToOneAddress) {
  const auto in = counted(kThreads);
  const auto run = [&](Fault fault) {
    return order_dependence([&] {
      std::vector<float> out(1);
      EXPECT_EQ(words_of(last_of(out.data(), in.data(), kThreads, fault)), "");
      return bytes_of(out);
    });
  };
  EXPECT_EQ(run(Fault::none), "");
  EXPECT_THAT(run(Fault::planted), HasSubstr("depends on the order of threads (seed 1)"));
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
  expect_in_every_order([&] {
    std::vector<float> out(8 * kThreads);
    EXPECT_EQ(words_of(two_tiles(out.data(), in.data(), kThreads, Fault::none)), "");
    EXPECT_EQ(out[5 * kThreads], 2 * in[5 * kThreads]);
    EXPECT_THAT(words_of(two_tiles(out.data(), in.data(), kThreads, Fault::planted)),
                HasSubstr("with no barrier between the two"));
  });
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
