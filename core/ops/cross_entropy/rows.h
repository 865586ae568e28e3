// The cross entropy kernel over rows of logits, on all threads.
#pragma once

#include <ATen/core/Tensor.h>

namespace gamut::ops {

struct CrossEntropyOptions {
  int64_t ignore_index;
  double label_smoothing, softcap;
};

// Throws gamut::Error for options out of range.
void check_options(const char* name, const CrossEntropyOptions& options);

// How many targets count. Throws gamut::Error for one that is neither an id nor ignored. Targets
// are contiguous, int64, on the CPU.
int64_t count_targets(const char* name, const at::Tensor& targets, int64_t ids,
                      int64_t ignore_index);

// logits [rows, ids] and targets [rows], contiguous. Writes the loss of each row to `losses` [rows]
// and `factor` times its gradient to `gradient`, which may be the logits; either may be undefined.
void cross_entropy_rows(const at::Tensor& logits, const at::Tensor& targets,
                        const CrossEntropyOptions& options, double factor, const at::Tensor& losses,
                        const at::Tensor& gradient);

}  // namespace gamut::ops
