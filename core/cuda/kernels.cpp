#include "cuda/kernels.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "gamut/error.h"

namespace gamut::cuda {

namespace {

namespace fs = std::filesystem;

std::atomic<const KernelTable*> kernels_of_cpu{nullptr};

// kernels.so once it was looked for: its table, or why there is none.
struct Library {
  const KernelTable* table = nullptr;
  std::string remark;
};

Library without(std::string remark) {
  return {nullptr, std::move(remark)};
}

fs::path library_path() {
  const char* asked = std::getenv("GAMUT_CUDA_KERNELS");
  if (asked && *asked && std::string_view(asked) != "1") return asked;
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  return program.parent_path().parent_path() / "lib/gamut/cuda/kernels.so";
}

Library open_library() {
  const fs::path path = library_path();
  if (path == "0") return without("GAMUT_CUDA_KERNELS=0 turns them off");
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return without("there is no " + path.string() + "; was Gamut built without nvcc?");
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return without(std::string(dlerror()));
  const auto entry =
      reinterpret_cast<decltype(&gamut_cuda_kernels)>(dlsym(handle, "gamut_cuda_kernels"));
  if (!entry) return without(path.string() + " has no function gamut_cuda_kernels");
  const KernelTable* table = entry();
  if (table->layout != kTableLayout) {
    return without(path.string() +
                   " belongs to another version of Gamut; install both from one build");
  }
  return {table, ""};
}

const Library& library() {
  static const Library opened = [] {
    Library found = open_library();
    const char* asked = std::getenv("GAMUT_CUDA_KERNELS");
    const bool unwanted = asked && std::string_view(asked) == "0";
    if (!found.table && !unwanted) {
      TORCH_WARN("The CUDA kernels cannot be used, LibTorch's own operators stand in: ",
                 found.remark);
    }
    return found;
  }();
  return opened;
}

// Whether kernels.so has code for the device; asked for once for each.
bool runs_on(const KernelTable& table, const at::Device& device) {
  constexpr int kDevices = 64;
  constexpr int kOldest = 80;
  static std::atomic<int> capabilities[kDevices];  // 0: not asked yet
  const int index = device.index() >= 0 ? device.index() : 0;
  if (index >= kDevices) return false;
  int capability = capabilities[index].load(std::memory_order_relaxed);
  if (capability == 0) {
    capability = table.compute_capability(index);
    capabilities[index].store(capability, std::memory_order_relaxed);
  }
  return capability >= kOldest;
}

}  // namespace

const KernelTable* kernels_for(const at::Device& device) {
  if (device.is_cpu()) return kernels_of_cpu.load(std::memory_order_acquire);
  if (!device.is_cuda()) return nullptr;
  const KernelTable* table = library().table;
  return table && runs_on(*table, device) ? table : nullptr;
}

const std::string& missing_kernels() {
  return library().remark;
}

Stream current_stream(const at::Device& device) {
  if (device.is_cpu()) return nullptr;
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
}

void check(const Status& status, const char* name_of_operator) {
  GAMUT_CHECK(status.ok(), name_of_operator, ": the CUDA kernel ", status.kernel,
              " could not be started: ", status.message);
}

ScopedKernels::ScopedKernels(const KernelTable& kernels)
    : before_(kernels_of_cpu.exchange(&kernels)) {}

ScopedKernels::~ScopedKernels() {
  kernels_of_cpu.store(before_);
}

}  // namespace gamut::cuda
