// How much memory the process holds.
#pragma once

#include <cstdint>

namespace gamut::telemetry {

// Bytes; the device's are 0 without one in use.
struct MemoryUse {
  int64_t resident = 0, resident_peak = 0;
  int64_t device = 0, device_peak = 0;  // reserved by the caching allocator, of all devices
  int64_t device_allocated_peak = 0;    // of it, the most that tensors held
};

MemoryUse memory_use();

}  // namespace gamut::telemetry
