// Opening of kernels.so, which needs no GPU, and who gets its table.
#include "cuda/kernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cuda/kernel_library.h"
#include "gamut/error.h"

namespace gamut::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const at::Device kCpu(at::kCPU);
const at::Device kFirstGpu(at::kCUDA, 0);

TEST(Kernels, TheFileIsTheInstallationsUnlessTheEnvironmentNamesAnother) {
  const std::string usual = kernel_library_path(nullptr);
  EXPECT_EQ(usual, GAMUT_BUILD_DIR "/lib/gamut/cuda/kernels.so");
  EXPECT_EQ(kernel_library_path(""), usual);
  EXPECT_EQ(kernel_library_path("1"), usual);
  EXPECT_EQ(kernel_library_path("/elsewhere/kernels.so"), "/elsewhere/kernels.so");
  EXPECT_TRUE(kernel_library_path("0").empty());
}

TEST(Kernels, AFileThatIsMissingOrNotALibraryIsAReason) {
  EXPECT_THAT(open_kernel_library("/nowhere/kernels.so").reason,
              HasSubstr("there is no /nowhere/kernels.so"));
  const std::string text = testing::TempDir() + "gamut_kernels_text.so";
  std::ofstream(text) << "not a library";
  const KernelLibrary opened = open_kernel_library(text);
  EXPECT_EQ(opened.table, nullptr);
  EXPECT_THAT(opened.reason, HasSubstr(text));
}

TEST(Kernels, AnotherBuildsLibraryIsRefused) {
  const KernelLibrary opened = open_kernel_library(GAMUT_STALE_KERNELS);
  EXPECT_EQ(opened.table, nullptr);
  EXPECT_THAT(opened.reason,
              AllOf(HasSubstr(GAMUT_STALE_KERNELS), HasSubstr("another version of Gamut")));
}

#ifdef GAMUT_HAS_KERNELS
TEST(Kernels, ThisBuildsLibraryOpensAndItsTableIsFull) {
  const KernelLibrary opened = open_kernel_library(kernel_library_path(nullptr));
  ASSERT_NE(opened.table, nullptr) << opened.reason;
  EXPECT_EQ(opened.reason, "");
#define GAMUT_EXPECT_ENTRY(name) EXPECT_NE(opened.table->name, nullptr) << #name;
  GAMUT_CUDA_KERNELS(GAMUT_EXPECT_ENTRY)
#undef GAMUT_EXPECT_ENTRY
}

TEST(Kernels, ADeviceThatIsNotThereHasNone) {
  EXPECT_EQ(missing_kernels(), "");
  const at::Device far(at::kCUDA, 63);
  EXPECT_EQ(kernels_for(far), nullptr);
  if (std::filesystem::exists("/dev/nvidiactl")) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(kernels_for(kFirstGpu), nullptr);
}
#else
TEST(Kernels, WithoutTheLibraryThereAreNoneAndItSaysWhy) {
  EXPECT_EQ(kernels_for(kFirstGpu), nullptr);
  EXPECT_THAT(missing_kernels(), HasSubstr("built without nvcc"));
}
#endif

TEST(Kernels, TheCpuHasATestsTableWhileItsScopeLives) {
  EXPECT_EQ(kernels_for(kCpu), nullptr);
  const KernelTable outer{}, inner{};
  {
    const ScopedKernels with_outer(outer);
    EXPECT_EQ(kernels_for(kCpu), &outer);
    {
      const ScopedKernels with_inner(inner);
      EXPECT_EQ(kernels_for(kCpu), &inner);
    }
    EXPECT_EQ(kernels_for(kCpu), &outer);
  }
  EXPECT_EQ(kernels_for(kCpu), nullptr);
}

TEST(Kernels, OtherDevicesHaveNone) {
  EXPECT_EQ(kernels_for(at::Device(at::kMeta)), nullptr);
  EXPECT_EQ(kernels_for(at::Device(at::kXPU, 0)), nullptr);
}

TEST(Kernels, TheCpuHasNoStream) {
  EXPECT_EQ(current_stream(kCpu), nullptr);
}

TEST(Kernels, AStatusNamesOperatorKernelAndCudasWords) {
  EXPECT_NO_THROW(check(Status{}, "rms_norm"));
  try {
    check(Status{"rms_norm_forward", "out of resources"}, "rms_norm");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("rms_norm: "), HasSubstr("rms_norm_forward"),
                                    HasSubstr("out of resources")));
  }
}

}  // namespace
}  // namespace gamut::cuda
