// What torch.so offers: the few things of LibTorch that are to be had through its CUDA headers
// only. The program opens it at run time (script/cuda.h), so that it needs neither those headers
// nor a GPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gamut::cuda {

// A recorded graph; opaque outside of torch.so.
struct Graph;

struct DeviceDescription {
  char name[256];
  int major, minor;  // compute capability
  int multiprocessors;
  uint64_t bytes;  // of global memory
};

// Functions throw c10::Error where LibTorch or CUDA refuses, unless they say otherwise.
struct TorchTable {
  uint64_t version;  // kTorchTableVersion of the build that the library is from

  // Why there is no device, in CUDA's words, as text that ends with a zero; "" where there is one.
  // Never throws.
  void (*why_no_device)(char* text, size_t size);
  void (*describe)(int device, DeviceDescription* description);

  // Memory that the graphs of one owner share; never 0.
  uint64_t (*new_pool)();
  // An empty graph on the current device.
  Graph* (*new_graph)();
  void (*free_graph)(Graph* graph);
  // Runs `body(context)` while the current stream, which must not be the default one, is recorded:
  // nothing of it is computed. Memory comes from `pool`. What `body` throws passes through, and
  // after any failure stream, allocator and random numbers are as before, the graph empty.
  void (*record)(Graph* graph, uint64_t pool, void (*body)(void*), void* context);
  // Computes what was recorded, behind what the current stream has to do.
  void (*replay)(Graph* graph);
  // Whether the current stream is being recorded.
  bool (*is_recording)();
};

constexpr uint64_t kTorchTableVersion = 1;

}  // namespace gamut::cuda

// The one symbol of torch.so.
extern "C" __attribute__((visibility("default"))) const gamut::cuda::TorchTable* gamut_torch_cuda();
