// Resident memory from the kernel, device memory from LibTorch's allocator where it is loaded.
#include "telemetry/memory.h"

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace gamut::telemetry {
namespace {

int64_t resident_bytes() {
  long long total = 0, resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (!file) return 0;
  int read = std::fscanf(file, "%lld %lld", &total, &resident);
  std::fclose(file);
  return read == 2 ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}

// The allocator exists only once the CUDA library is loaded and a tensor was made on a device.
void add_device_memory(MemoryUse& use) {
  if (!at::hasCUDA()) return;
  auto* allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(c10::DeviceType::CUDA));
  if (!allocator || !allocator->initialized()) return;
  const auto total = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const int devices = static_cast<int>(at::getNumGPUs());
  for (int device = 0; device < devices; ++device) {
    auto stats = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    use.device += stats.reserved_bytes[total].current;
    use.device_peak += stats.reserved_bytes[total].peak;
    use.device_allocated_peak += stats.allocated_bytes[total].peak;
  }
}

}  // namespace

MemoryUse memory_use() {
  MemoryUse use;
  use.resident = resident_bytes();
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) use.resident_peak = usage.ru_maxrss * int64_t{1024};
  use.resident_peak = std::max(use.resident_peak, use.resident);  // the kernel's peak lags a little
  add_device_memory(use);
  return use;
}

}  // namespace gamut::telemetry
