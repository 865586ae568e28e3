// CRC-32C (Castagnoli), the checksum of TensorBoard's record files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gamut::telemetry {

uint32_t crc32c(const void* data, size_t size);

// The rotated and offset form that record files store, so that a checksum of data that holds
// checksums stays strong.
uint32_t masked_crc32c(const void* data, size_t size);

}  // namespace gamut::telemetry
