// Plain types that kernels and their callers share: no LibTorch, no CUDA headers.
#pragma once

#include <cstdint>

namespace gamut::cuda {

enum class Element : int { float32, bfloat16, float16 };

// Bytes of shared memory that a block may have on every device that the kernels are for: those of
// an A100.
constexpr int64_t kLeastSharedMemory = 163 * 1024;

using Stream = void*;  // a cudaStream_t

// What became of a launch: the kernel that failed and why, in CUDA's words; both null if none did.
struct Status {
  const char* kernel = nullptr;
  const char* message = nullptr;

  bool ok() const { return message == nullptr; }
};

}  // namespace gamut::cuda
