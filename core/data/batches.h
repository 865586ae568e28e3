// Training batches: which tokens the k-th one holds, as a pure function of a position.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "data/token_set.h"

namespace gamut::data {

struct BatchOptions {
  int64_t batch = 1;    // windows
  int64_t context = 1;  // tokens of a window
  bool shuffled = false;
  uint64_t seed = 0;  // of the shuffle
};

struct Batch {
  at::Tensor x, y;       // int64 [batch, context]; y is x one token later
  int64_t position = 0;  // of the batch after this one
};

// Two orders.
// Sequential, the stream of Parameter Golf: a batch is the next batch * context + 1 tokens,
// wrapping at the end of the set; the position counts tokens. Shuffled: the set is cut into windows
// every `context` tokens, and each epoch visits all of them in another order; the position counts
// windows, so a batch may hold the end of one epoch and the beginning of the next.
class BatchSource {
 public:
  // Throws gamut::Error for sizes below 1 and for a set too small for one window.
  BatchSource(std::shared_ptr<const TokenSet> set, const BatchOptions& options);

  Batch at(int64_t position) const;

  const BatchOptions& options() const { return options_; }
  const TokenSet& set() const { return *set_; }
  int64_t windows() const { return windows_; }  // of an epoch

 private:
  Batch sequential(int64_t position) const;
  Batch shuffled(int64_t position) const;

  std::shared_ptr<const TokenSet> set_;
  BatchOptions options_;
  int64_t windows_;
};

// Validation as Parameter Golf scores it: disjoint windows from the first token on, in order,
// without the tokens that do not fill one. The last batch may be smaller.
class ValidationWindows {
 public:
  // At most `max_tokens` tokens when that is not 0, rounded down to windows (one at least).
  ValidationWindows(std::shared_ptr<const TokenSet> set, int64_t batch, int64_t context,
                    int64_t max_tokens);

  int64_t windows() const { return windows_; }
  int64_t tokens() const { return windows_ * context_; }
  int64_t batches() const { return (windows_ + batch_ - 1) / batch_; }
  Batch at(int64_t index) const;  // 0 .. batches() - 1

 private:
  std::shared_ptr<const TokenSet> set_;
  int64_t batch_, context_, windows_;
};

}  // namespace gamut::data
