#include "cuda/kernels.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <cstdlib>

#include "cuda/kernel_library.h"
#include "gamut/error.h"

namespace gamut::cuda {

namespace {

std::atomic<const KernelTable*> kernels_of_cpu{nullptr};

KernelLibrary open_library() {
  const auto path = kernel_library_path(std::getenv("GAMUT_CUDA_KERNELS"));
  if (path.empty()) return {nullptr, "GAMUT_CUDA_KERNELS=0 turns them off"};
  KernelLibrary found = open_kernel_library(path);
  if (!found.table) {
    TORCH_WARN("The CUDA kernels cannot be used, and LibTorch's own operators stand in: ",
               found.reason);
  }
  return found;
}

const KernelLibrary& library() {
  static const KernelLibrary opened = open_library();
  return opened;
}

// Whether the kernels are for the device, which is asked once: code for it is in kernels.so, and
// its blocks have the shared memory that plans count on.
bool runs_on(const KernelTable& table, const at::Device& device) {
  enum Answer { unknown, yes, no };
  constexpr int kDevices = 64;
  constexpr int kOldest = 80;
  static std::atomic<int> answers[kDevices];
  const int index = device.index() >= 0 ? device.index() : 0;
  if (index >= kDevices) return false;
  int answer = answers[index].load(std::memory_order_relaxed);
  if (answer == unknown) {
    const bool fits = table.compute_capability(index) >= kOldest &&
                      table.most_shared_memory(index) >= kLeastSharedMemory;
    answer = fits ? yes : no;
    answers[index].store(answer, std::memory_order_relaxed);
  }
  return answer == yes;
}

}  // namespace

const KernelTable* kernels_for(const at::Device& device) {
  if (device.is_cpu()) return kernels_of_cpu.load(std::memory_order_acquire);
  if (!device.is_cuda()) return nullptr;
  const KernelTable* table = library().table;
  return table && runs_on(*table, device) ? table : nullptr;
}

const std::string& missing_kernels() {
  return library().reason;
}

Stream current_stream(const at::Device& device) {
  if (device.is_cpu()) return nullptr;
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
}

void check(const Status& status, const char* name_of_operator) {
  GAMUT_CHECK(status.ok(), name_of_operator, ": the CUDA kernel ", status.kernel,
              " failed: ", status.message);
}

ScopedKernels::ScopedKernels(const KernelTable& kernels)
    : before_(kernels_of_cpu.exchange(&kernels)) {}

ScopedKernels::~ScopedKernels() {
  kernels_of_cpu.store(before_);
}

}  // namespace gamut::cuda
