// Numbers that a host changes between two replays of a recorded step, kept on the device where the
// recorded part reads them.
#pragma once

#include <ATen/ATen.h>
#include <gamut/module.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

namespace gamut {

// A few numbers of one parameter group, once for each device that has some of its parameters. Their
// tensors are made by the first set() and keep their addresses. On the CPU they are float64, so
// that nothing is rounded; elsewhere float32, as kernels read them.
class LiveNumbers {
 public:
  // Copies the numbers to the devices of the parameters, behind the work that those were given
  // before; does not wait.
  void set(const NamedTensors& parameters, std::initializer_list<double> numbers) {
    for (auto& entry : entries_) entry.is_set = false;
    for (const auto& p : parameters) {
      Entry& entry = of(p.tensor.device());
      if (entry.is_set) continue;
      copy(numbers, entry);
      entry.is_set = true;
    }
  }

  // Number `index` of the last set() for that device, a tensor without dimensions.
  at::Tensor get(at::Device device, int64_t index) { return of(device).numbers.select(0, index); }

 private:
  struct Entry {
    at::Device device;
    at::Tensor numbers;
    bool is_set;
  };

  Entry& of(at::Device device) {
    for (auto& entry : entries_) {
      if (entry.device == device) return entry;
    }
    entries_.push_back({device, at::Tensor(), false});
    return entries_.back();
  }

  static void copy(std::initializer_list<double> numbers, Entry& to) {
    const bool is_cpu = to.device.is_cpu();
    const auto size = static_cast<int64_t>(numbers.size());
    // Pinned memory is made anew each time: LibTorch keeps it until the copy from it is done.
    const at::Tensor staged = at::empty({size}, at::TensorOptions()
                                                    .dtype(is_cpu ? at::kDouble : at::kFloat)
                                                    .pinned_memory(to.device.is_cuda()));
    if (is_cpu) {
      std::copy(numbers.begin(), numbers.end(), staged.mutable_data_ptr<double>());
    } else {
      std::transform(numbers.begin(), numbers.end(), staged.mutable_data_ptr<float>(),
                     [](double number) { return static_cast<float>(number); });
    }
    if (!to.numbers.defined()) {
      to.numbers = at::empty({size}, staged.options().pinned_memory(false).device(to.device));
    }
    to.numbers.copy_(staged, /*non_blocking=*/true);
  }

  std::vector<Entry> entries_;
};

}  // namespace gamut
