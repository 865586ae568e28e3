// Windows of codes to train on: which ones the batch at a position holds, as a pure function of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "data/codes/set.h"

namespace gamut::data {

enum class CodeCut {
  // Items cut from their beginning into windows that follow each other. The last one of an item is
  // kept if it has `minimum` frames.
  chunks,
  // Windows at random places of the items, others in every epoch: of an item of n windows' length,
  // n of them, rounded down, and one at least; items shorter than `minimum` are left out.
  crops,
};

struct CodeBatchOptions {
  int64_t batch = 1;    // windows
  int64_t frames = 1;   // of a window
  int64_t minimum = 1;  // frames that a window must hold; 1 to `frames`
  CodeCut cut = CodeCut::chunks;
  bool shuffled = false;  // another order of the windows in every epoch
  uint64_t seed = 0;      // of the shuffle and of the places of crops
  // What stands behind the end of a short window; vocab_size when it is not given.
  std::optional<int64_t> pad;
};

struct CodeBatch {
  at::Tensor codes;      // int64 [batch, codebooks, frames]
  at::Tensor lengths;    // int64 [batch]: frames that are codes; what follows is `pad`
  at::Tensor items;      // int64 [batch]: the item that a window is of
  at::Tensor starts;     // int64 [batch]: its first frame in the item
  at::Tensor ended;      // bool [batch]: whether it holds the item's last frame
  int64_t position = 0;  // of the batch after this one
};

// A position counts the windows served so far, so a batch may hold the end of one epoch and the
// beginning of the next. Cut, frames, minimum, seed and order give positions their meaning; the
// size of the batch does not.
class CodeBatchSource {
 public:
  // Throws gamut::Error for sizes below 1, and for a set of which no window can be cut.
  CodeBatchSource(std::shared_ptr<const CodeSet> set, const CodeBatchOptions& options);

  CodeBatch at(int64_t position) const;
  // Batch `index` of one epoch, 0 to batches() - 1, for validation; the last may be smaller.
  CodeBatch of_epoch(int64_t index) const;

  const CodeBatchOptions& options() const { return options_; }
  const CodeSet& set() const { return *set_; }
  int64_t windows() const { return starts_.back(); }  // of an epoch
  int64_t batches() const { return (windows() + options_.batch - 1) / options_.batch; }
  // Items too short for a window.
  int64_t items_left_out() const { return left_out_; }

 private:
  struct Window {
    int64_t item, begin, length;
  };
  Window window(int64_t position) const;
  CodeBatch rows(int64_t position, int64_t count) const;

  std::shared_ptr<const CodeSet> set_;
  CodeBatchOptions options_;
  std::vector<int64_t> starts_{0};  // number of each item's first window, then of all
  int64_t left_out_ = 0;
};

}  // namespace gamut::data
