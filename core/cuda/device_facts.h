// What the host asks about a device before it launches anything there.
#pragma once

namespace gamut::cuda {

// Ten times the major plus the minor compute capability of device `index`: 90 for an H100; -1 where
// the device does not answer.
int compute_capability(int index);

// Bytes of shared memory that one block may have at most; -1 as above.
int most_shared_memory(int index);

}  // namespace gamut::cuda
