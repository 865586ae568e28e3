#include "cuda/kernel_library.h"

#include <dlfcn.h>

#include <string_view>
#include <system_error>

namespace gamut::cuda {

namespace fs = std::filesystem;

KernelLibrary open_kernel_library(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return {nullptr, "there is no " + path.string() + "; was Gamut built without nvcc?"};
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return {nullptr, dlerror()};
  const auto entry =
      reinterpret_cast<decltype(&gamut_cuda_kernels)>(dlsym(handle, "gamut_cuda_kernels"));
  if (!entry) return {nullptr, path.string() + " has no function gamut_cuda_kernels"};
  const KernelTable* table = entry();
  if (table->layout != kTableLayout) {
    return {nullptr,
            path.string() + " belongs to another version of Gamut; both must be of one build"};
  }
  return {table, ""};
}

fs::path kernel_library_path(const char* asked) {
  const std::string_view wish = asked ? asked : "";
  if (wish == "0") return {};
  if (!wish.empty() && wish != "1") return wish;
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  return program.parent_path().parent_path() / "lib/gamut/cuda/kernels.so";
}

}  // namespace gamut::cuda
