// A CUDA runtime for tests without a device: memory is the host's and filled with zeros, copies are
// made, kernels are counted and compute nothing. Streams can be recorded, and what CUDA forbids
// while one is recorded fails here in the same way: waiting for it, and allocations unless the
// thread allows them.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace {

struct Stream {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  unsigned long long id = 0;
  size_t launches = 0;  // of all streams when the recording began
};

std::recursive_mutex mutex;
std::map<cudaStream_t, Stream> streams;
std::map<const char*, size_t> allocations;
size_t launches = 0, replays = 0;
unsigned long long captures = 0;
thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

// A call that no recording allows: the recordings under way are spoilt by it.
cudaError_t unsafe() {
  if (mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  cudaError_t error = cudaSuccess;
  for (auto& entry : streams) {
    if (entry.second.status == cudaStreamCaptureStatusNone) continue;
    entry.second.status = cudaStreamCaptureStatusInvalidated;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return result(error);
}

cudaError_t launch(cudaStream_t stream) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  ++launches;
  const bool spoilt = streams[stream].status == cudaStreamCaptureStatusInvalidated;
  if (spoilt) return result(cudaErrorStreamCaptureInvalidated);
  return stream ? cudaSuccess : unsafe();
}

void* host_memory(size_t alignment, size_t bytes) {
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

template <class Handle>
cudaError_t new_handle(Handle* handle) {
  *handle = static_cast<Handle>(std::calloc(1, sizeof(size_t)));
  return cudaSuccess;
}

int zero() {
  return 0;
}
int context_state(int /*device*/, unsigned* flags, int* active) {
  *flags = 0;
  *active = 1;
  return 0;
}

struct Report {
  ~Report() { std::fprintf(stderr, "[fake CUDA] %zu launches, %zu replays\n", launches, replays); }
} report;

}  // namespace

#define LOCKED const std::lock_guard<std::recursive_mutex> lock(mutex)

extern "C" {

// --- Devices
// -----------------------------------------------------------------------------------------
cudaError_t cudaGetDeviceCount(int* count) {
  return *count = 1, cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  return *device = 0, cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  return *version = 13000, cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  return *version = 13000, cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
// An A100, for newer ones are given to cuDNN, of which there is nothing here.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int /*device*/) {
  *p = {};
  std::strcpy(p->name, "Fake A100");
  p->major = 8;
  p->multiProcessorCount = 108;
  p->totalGlobalMem = size_t{40} << 30;
  p->warpSize = 32;
  p->maxThreadsPerBlock = p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->sharedMemPerBlock = 48 << 10;
  p->sharedMemPerBlockOptin = 163 << 10;
  p->sharedMemPerMultiprocessor = 164 << 10;
  p->maxThreadsPerMultiProcessor = 2048;
  p->maxBlocksPerMultiProcessor = 32;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->l2CacheSize = 40 << 20;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int /*device*/) {
  static const std::map<int, int> values = {{cudaDevAttrComputeCapabilityMajor, 8},
                                            {cudaDevAttrComputeCapabilityMinor, 0},
                                            {cudaDevAttrMultiProcessorCount, 108},
                                            {cudaDevAttrMaxSharedMemoryPerBlockOptin, 163 << 10},
                                            {cudaDevAttrMaxThreadsPerBlock, 1024},
                                            {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
                                            {cudaDevAttrWarpSize, 32},
                                            {cudaDevAttrMaxGridDimX, 2147483647}};
  const auto found = values.find(attribute);
  *value = found == values.end() ? 1 : found->second;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  LOCKED;
  return unsafe();
}
cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function,
                                             unsigned /*version*/, unsigned long long /*flags*/,
                                             cudaDriverEntryPointQueryResult* found) {
  const bool is_state = std::strcmp(symbol, "cuDevicePrimaryCtxGetState") == 0;
  *function = is_state ? reinterpret_cast<void*>(context_state) : reinterpret_cast<void*>(zero);
  if (found) *found = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}
int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) {
  return context_state(device, flags, active);
}

// --- Errors
// ------------------------------------------------------------------------------------------
cudaError_t cudaPeekAtLastError() {
  return last_error;
}
cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
const char* cudaGetErrorName(cudaError_t /*error*/) {
  return "cudaErrorFake";
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorStreamCaptureUnsupported
             ? "operation not permitted when stream is capturing"
             : "operation failed due to a previous error during capture";
}

// --- Memory
// ------------------------------------------------------------------------------------------
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = size_t{40} << 30;
  *free = *total / 2;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  LOCKED;
  if (unsafe() != cudaSuccess) return last_error;
  *memory = std::memset(host_memory(size_t{2} << 20, bytes), 0, bytes);
  allocations[static_cast<char*>(*memory)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  LOCKED;
  if (memory && unsafe() != cudaSuccess) return last_error;
  allocations.erase(static_cast<char*>(memory));
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned /*flags*/) {
  LOCKED;
  if (unsafe() != cudaSuccess) return last_error;
  *memory = host_memory(4096, bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  return std::free(memory), cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  LOCKED;
  auto after = allocations.upper_bound(static_cast<const char*>(memory));
  const bool is_device = after != allocations.begin() &&
                         static_cast<const char*>(memory) < (--after)->first + after->second;
  *attributes = {};
  attributes->type = is_device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
  attributes->devicePointer = attributes->hostPointer = const_cast<void*>(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind /*kind*/,
                            cudaStream_t stream) {
  LOCKED;
  const auto status = streams[stream].status;
  if (status == cudaStreamCaptureStatusInvalidated)
    return result(cudaErrorStreamCaptureInvalidated);
  if (status == cudaStreamCaptureStatusNone) std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  LOCKED;
  return unsafe() == cudaSuccess ? cudaMemcpyAsync(to, from, bytes, kind, nullptr) : last_error;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  LOCKED;
  if (streams[stream].status == cudaStreamCaptureStatusNone) std::memset(to, value, bytes);
  return cudaSuccess;
}

// --- Streams, events, graphs
// -------------------------------------------------------------------------
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned /*flags*/, int /*priority*/) {
  return new_handle(reinterpret_cast<void**>(s));
}
cudaError_t cudaStreamSynchronize(cudaStream_t /*stream*/) {
  LOCKED;
  return unsafe();
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  LOCKED;
  *status = streams[stream].status;
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* /*graph*/,
                                     const cudaGraphNode_t** /*dependencies*/,
                                     const cudaGraphEdgeData** /*edges*/, size_t* /*count*/) {
  LOCKED;
  *status = streams[stream].status;
  if (id) *id = streams[stream].id;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
  LOCKED;
  if (!stream || streams[stream].status != cudaStreamCaptureStatusNone) {
    return result(cudaErrorStreamCaptureUnsupported);
  }
  streams[stream] = {cudaStreamCaptureStatusActive, ++captures, launches};
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  LOCKED;
  const Stream recorded = streams[stream];
  streams[stream].status = cudaStreamCaptureStatusNone;
  *graph = nullptr;
  if (recorded.status != cudaStreamCaptureStatusActive) {
    return result(cudaErrorStreamCaptureInvalidated);
  }
  auto* count = static_cast<size_t*>(std::malloc(sizeof(size_t)));
  *count = launches - recorded.launches;
  *graph = reinterpret_cast<cudaGraph_t>(count);
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* other) {
  return std::swap(mode, *other), cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* /*nodes*/, size_t* count) {
  *count = *reinterpret_cast<size_t*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* graph, cudaGraph_t, unsigned long long) {
  return new_handle(reinterpret_cast<void**>(graph));
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return std::free(graph), cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  return std::free(graph), cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t /*graph*/, cudaStream_t /*stream*/) {
  return ++replays, cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned /*flags*/) {
  return new_handle(reinterpret_cast<void**>(event));
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return std::free(event), cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t /*event*/) {
  LOCKED;
  return unsafe();
}
cudaError_t cudaEventSynchronize(cudaEvent_t /*event*/) {
  LOCKED;
  return unsafe();
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  return *milliseconds = 1.5F, cudaSuccess;
}

// --- Kernels
// -----------------------------------------------------------------------------------------
cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, size_t, cudaStream_t stream) {
  return launch(stream);
}
cudaError_t __cudaLaunchKernel(void*, dim3, dim3, void**, size_t, cudaStream_t stream) {
  return launch(stream);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void*, void**) {
  return launch(config->stream);
}
thread_local cudaLaunchConfig_t configuration;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  configuration = {grid, block, shared, stream, nullptr, 0};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  *grid = configuration.gridDim;
  *block = configuration.blockDim;
  *shared = configuration.dynamicSmemBytes;
  *static_cast<cudaStream_t*>(stream) = configuration.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(void** kernel, const void* function) {
  return *kernel = const_cast<void*>(function), cudaSuccess;
}
void** __cudaRegisterFatBinary(void* /*binary*/) {
  static void* handle = nullptr;
  return &handle;
}
char __cudaInitModule(void** /*handle*/) {
  return 1;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* /*function*/) {
  *attributes = {};
  attributes->maxThreadsPerBlock = 1024;
  attributes->numRegs = 64;
  attributes->binaryVersion = attributes->ptxVersion = 80;
  attributes->maxDynamicSharedSizeBytes = 163 << 10;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int,
                                                                   size_t, unsigned) {
  return *blocks = 2, cudaSuccess;
}

// --- cuBLAS
// ------------------------------------------------------------------------------------------
int cublasCreate_v2(void** handle) {
  return new_handle(handle);
}
int cublasLtCreate(void** handle) {
  return new_handle(handle);
}
int cublasGetVersion_v2(void* /*handle*/, int* version) {
  return *version = 130100, 0;
}
int cublasGetMathMode(void* /*handle*/, int* value) {
  return *value = 0, 0;
}
int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int,
                                   char* results, int* count) {
  std::memset(results, 0, 64);
  return *count = 1, 0;
}

}  // extern "C"
