// kernels.so as a file: opened, and its table compared with this program's.
#pragma once

#include <filesystem>
#include <string>

#include "cuda/table.h"

namespace gamut::cuda {

// The table of a kernels.so; null with a sentence's worth of reason where there is none.
struct KernelLibrary {
  const KernelTable* table = nullptr;
  std::string reason;
};

// Opens that file, which stays open. Needs no GPU, and libcudart.so.13 only, which LibTorch brings.
KernelLibrary open_kernel_library(const std::filesystem::path& path);

// The file that this process uses: `asked` (GAMUT_CUDA_KERNELS; null: unset) where that is a path,
// else lib/gamut/cuda/kernels.so of the installation; empty where `asked` is 0.
std::filesystem::path kernel_library_path(const char* asked);

}  // namespace gamut::cuda
