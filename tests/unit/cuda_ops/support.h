// Shared by the tests of operators on emulated CUDA kernels, which tensors of the CPU stand in for
// those of a GPU: against references in float64, and in any order of threads.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "../ops/support.h"
#include "cuda/emulation/emulation.h"
#include "cuda/kernels.h"

namespace gamut::test {

// Kernels to be used for tensors of the CPU until the end of the scope.
class EmulatedDevice {
 public:
  // Whether any ran since.
  bool was_used() const { return cuda::emulation::work_done().launches > launches_; }

 private:
  cuda::ScopedKernels kernels_{*cuda::emulation::emulated_kernels()};
  int64_t launches_ = cuda::emulation::work_done().launches;
};

inline std::vector<Tensor> as_doubles(std::vector<Tensor> tensors) {
  for (auto& t : tensors) t = t.to(at::kDouble);
  return tensors;
}

inline std::string bytes_of(const Evaluated& got) {
  std::string bytes;
  for (const auto& all : {got.outputs, got.gradients}) {
    for (const auto& t : all) {
      const auto row = t.detach().contiguous();
      bytes.append(static_cast<const char*>(row.const_data_ptr()), row.nbytes());
    }
  }
  return bytes;
}

// Outputs and gradients by the emulated kernels at `inputs`, compared with the reference's in
// float64; that kernels ran at all, and that no order of threads changes a bit.
inline void expect_device_like_reference(const Function& op, const Function& reference,
                                         const std::vector<Tensor>& inputs, double tolerance,
                                         int shuffles = 1) {
  std::vector<Tensor> cotangents;
  Evaluated got;
  {
    const EmulatedDevice device;
    for (const auto& y : op(inputs)) cotangents.push_back(at::randn_like(y));
    got = evaluate(op, inputs, cotangents);
    EXPECT_TRUE(device.was_used());
    EXPECT_EQ(cuda::emulation::order_dependence(
                  [&] { return bytes_of(evaluate(op, inputs, cotangents)); }, shuffles),
              "");
  }
  const auto expected = evaluate(reference, as_doubles(inputs), as_doubles(cotangents));
  for (size_t i = 0; i < got.outputs.size(); ++i) {
    if (got.outputs[i].numel() == 0) continue;
    EXPECT_CLOSE(got.outputs[i], expected.outputs[i], tolerance) << "of output " << i;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(got.gradients[i].scalar_type(), inputs[i].scalar_type());
    if (inputs[i].numel() == 0) continue;
    EXPECT_CLOSE(got.gradients[i], expected.gradients[i], tolerance) << "of input " << i;
  }
}

// The types that kernels take and the error that rounding to them allows.
struct DeviceType {
  at::ScalarType type;
  double tolerance;
};
inline const std::vector<DeviceType> kDeviceTypes = {
    {at::kFloat, 2e-6}, {at::kBFloat16, 6e-3}, {at::kHalf, 8e-4}};

}  // namespace gamut::test
