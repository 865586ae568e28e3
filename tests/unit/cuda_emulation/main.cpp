// The test program of emulated kernels: what it is to the sanitizers, and NaN for what is not
// written.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>

// NOLINTBEGIN(bugprone-reserved-identifier): the sanitizers' names. LibTorch is not sanitized, and
// holds memory until the end; its many allocations at the start need no long stacks.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() {
  return "detect_leaks=0:detect_odr_violation=0:protect_shadow_gap=0:malloc_context_size=4";
}
extern "C" __attribute__((visibility("default"))) const char* __ubsan_default_options() {
  return "print_stacktrace=1:halt_on_error=1";
}
// NOLINTEND(bugprone-reserved-identifier)

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  // at::empty fills with NaN, so that results that a kernel leaves out are seen.
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  at::globalContext().setDeterministicFillUninitializedMemory(true);
  at::set_num_threads(1);  // references are small: threads would only wait for each other
  return RUN_ALL_TESTS();
}
