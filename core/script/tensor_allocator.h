// Memory of tensors on the CPU: large blocks are kept for the next tensor of their size.
//
// The C library gives a block of megabytes back to the system when it is freed, and the next one is
// mapped and cleared page by page: a training step that allocates the same activations every time
// spends a tenth of its time on that (measured, see tests/bench). Blocks here are kept, in sizes an
// eighth of a power of two apart, and backed by huge pages where the system has them.
#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>

namespace gamut::script {

struct TensorMemory {
  size_t in_use, kept;  // bytes of large blocks that tensors hold, and that wait for the next
};

// For blocks of at least 1 MiB; smaller ones are LibTorch's own. What is in use and kept together
// stays within an eighth and 64 MiB of the most that was ever in use. For any threads.
c10::Allocator& tensor_allocator();

// Makes it LibTorch's allocator on the CPU, for the tensors made from here on.
void use_tensor_allocator();

TensorMemory tensor_memory();

// Gives what is kept, here and by the C library, back to the system.
void release_memory();

}  // namespace gamut::script
