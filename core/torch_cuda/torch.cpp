// torch.so: graphs and descriptions of devices by LibTorch's CUDA headers.
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <string>

#include "torch_cuda/torch_table.h"

namespace gamut::cuda {

// LibTorch's graph, and the way back from a recording that failed, for which LibTorch has none.
struct Graph final : public at::cuda::CUDAGraph {
  void record(at::cuda::MempoolId_t pool, void (*body)(void*), void* context) {
    TORCH_CHECK(!capture_ended_, "this graph is recorded already");
    // The guard's destructor takes back whatever ended early: also by Lua's errors, which are no
    // std::exception.
    Recording recording{*this};
    capture_begin(pool);
    recording.has_begun = true;
    body(context);
    capture_end();
    recording.is_complete = true;
  }

 private:
  struct Recording {
    Graph& graph;
    bool has_begun = false, is_complete = false;
    ~Recording() {
      if (!is_complete) graph.abandon(has_begun);
    }
  };

  // Undoes a recording from wherever it was left; `has_begun`: capture_begin came to its end.
  void abandon(bool has_begun) noexcept {
    end_stream_capture();
    auto* const host = at::getHostAllocator(at::kCUDA);
    // Both allocators give memory of the pool from capture_begin to capture_end; once that ended,
    // reset gives the pool back.
    const bool holds_pool = has_begun && !capture_ended_;
    const bool device_holds =
        succeeds([&] {
          c10::cuda::CUDACachingAllocator::endAllocateToPool(capture_dev_, mempool_id_);
        }) ||
        holds_pool;
    const bool host_holds =
        succeeds([&] { host->end_allocate_to_pool(mempool_id_); }) || holds_pool;
    // Else the next random numbers are refused as drawn inside of a recording.
    for (auto& entry : captured_generator_states_) entry.first->capturing_ = false;
    const bool is_clean = succeeds([&] {
      reset();
      if (device_holds) c10::cuda::CUDACachingAllocator::releasePool(capture_dev_, mempool_id_);
      if (host_holds) host->release_pool(mempool_id_);
    });
    if (!is_clean) {
      TORCH_WARN("A recording that failed keeps some of its memory.");
    }
  }

  template <class Action>
  static bool succeeds(Action action) noexcept {
    try {
      action();
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  void end_stream_capture() noexcept {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    const cudaStream_t stream = capture_stream_.stream();
    if (cudaStreamIsCapturing(stream, &status) == cudaSuccess &&
        status != cudaStreamCaptureStatusNone) {
      cudaGraph_t broken = nullptr;
      cudaStreamEndCapture(stream, &broken);
      if (broken) cudaGraphDestroy(broken);
    }
    cudaGetLastError();  // the failure was told; it must not be blamed on the next call
  }
};

namespace {

void why_no_device(char* text, size_t size) {
  std::string reason;
  try {
    c10::cuda::device_count_ensure_non_zero();
  } catch (const c10::Error& error) {
    reason = error.what_without_backtrace();
  } catch (const std::exception& error) {
    reason = error.what();
  }
  if (size == 0) return;
  const size_t length = std::min(reason.size(), size - 1);
  std::memcpy(text, reason.data(), length);
  text[length] = '\0';
}

void describe(int device, DeviceDescription* description) {
  cudaDeviceProp properties;
  C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  static_assert(sizeof(description->name) == sizeof(properties.name));
  std::memcpy(description->name, properties.name, sizeof(properties.name));
  description->major = properties.major;
  description->minor = properties.minor;
  description->multiprocessors = properties.multiProcessorCount;
  description->bytes = properties.totalGlobalMem;
}

uint64_t new_pool() {
  return at::cuda::graph_pool_handle().second;
}

Graph* new_graph() {
  return new Graph;
}

void free_graph(Graph* graph) {
  delete graph;
}

void record(Graph* graph, uint64_t pool, void (*body)(void*), void* context) {
  graph->record({0, pool}, body, context);
}

void replay(Graph* graph) {
  graph->replay();
}

bool is_recording() {
  return c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None;
}

}  // namespace
}  // namespace gamut::cuda

const gamut::cuda::TorchTable* gamut_torch_cuda() {
  using namespace gamut::cuda;
  static const TorchTable table = {kTorchTableVersion, why_no_device, describe, new_pool,
                                   new_graph,          free_graph,    record,   replay,
                                   is_recording};
  return &table;
}
