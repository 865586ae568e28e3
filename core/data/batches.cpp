// Positions to windows to tensors.
#include "data/batches.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <algorithm>
#include <utility>

#include "data/permutation.h"

namespace gamut::data {
namespace {

// Whole windows in a set, each followed by the token that its last one predicts.
int64_t count_windows(const TokenSet& set, int64_t batch, int64_t context) {
  GAMUT_CHECK(batch >= 1 && context >= 1, "batch and context must be at least 1, got ", batch,
              " and ", context);
  const int64_t windows = (set.size() - 1) / context;
  GAMUT_CHECK(set.size() > 1 && windows >= 1, "a window of ", context, " tokens needs ",
              context + 1, ", and this set (", set.shards()[0]->path().string(),
              set.shards().size() > 1 ? ", ..." : "", ") holds ", set.size());
  return windows;
}

Batch empty_batch(int64_t rows, int64_t context) {
  return {at::empty({rows, context}, at::kLong), at::empty({rows, context}, at::kLong), 0};
}

}  // namespace

BatchSource::BatchSource(std::shared_ptr<const TokenSet> set, const BatchOptions& options)
    : set_(std::move(set)),
      options_(options),
      windows_(count_windows(*set_, options.batch, options.context)) {}

Batch BatchSource::at(int64_t position) const {
  GAMUT_CHECK(position >= 0, "a data position is 0 or more, got ", position);
  return options_.shuffled ? shuffled(position) : sequential(position);
}

Batch BatchSource::sequential(int64_t position) const {
  const int64_t tokens = options_.batch * options_.context;
  Batch batch = empty_batch(options_.batch, options_.context);
  set_->read(position, tokens, batch.x.data_ptr<int64_t>());
  set_->read(position + 1, tokens, batch.y.data_ptr<int64_t>());
  batch.position = position + tokens + 1;
  return batch;
}

Batch BatchSource::shuffled(int64_t position) const {
  Batch batch = empty_batch(options_.batch, options_.context);
  auto* x = batch.x.data_ptr<int64_t>();
  auto* y = batch.y.data_ptr<int64_t>();
  for (int64_t row = 0; row < options_.batch; ++row) {
    const auto epoch = static_cast<uint64_t>((position + row) / windows_);
    const auto index = static_cast<uint64_t>((position + row) % windows_);
    const Permutation order(windows_, mix64(options_.seed) ^ mix64(~epoch));
    const int64_t begin = static_cast<int64_t>(order(index)) * options_.context;
    set_->read(begin, options_.context, x + row * options_.context);
    set_->read(begin + 1, options_.context, y + row * options_.context);
  }
  batch.position = position + options_.batch;
  return batch;
}

ValidationWindows::ValidationWindows(std::shared_ptr<const TokenSet> set, int64_t batch,
                                     int64_t context, int64_t max_tokens)
    : set_(std::move(set)),
      batch_(batch),
      context_(context),
      windows_(count_windows(*set_, batch, context)) {
  GAMUT_CHECK(max_tokens >= 0, "max_tokens must not be negative, got ", max_tokens);
  if (max_tokens > 0) windows_ = std::clamp<int64_t>(max_tokens / context, 1, windows_);
}

Batch ValidationWindows::at(int64_t index) const {
  GAMUT_CHECK(index >= 0 && index < batches(), "there is no validation batch ", index,
              ", only 0 to ", batches() - 1);
  const int64_t first = index * batch_;
  const int64_t rows = std::min(batch_, windows_ - first);
  Batch batch = empty_batch(rows, context_);
  set_->read(first * context_, rows * context_, batch.x.data_ptr<int64_t>());
  set_->read(first * context_ + 1, rows * context_, batch.y.data_ptr<int64_t>());
  batch.position = index + 1;
  return batch;
}

}  // namespace gamut::data
