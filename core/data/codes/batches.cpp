// Positions to windows to tensors.
#include "data/codes/batches.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <algorithm>
#include <utility>

#include "data/permutation.h"

namespace gamut::data {
namespace {

// How many windows an epoch takes from an item of `length` frames.
int64_t windows_of(int64_t length, const CodeBatchOptions& options) {
  if (length < options.minimum) return 0;
  if (options.cut == CodeCut::crops) return std::max<int64_t>(length / options.frames, 1);
  const int64_t rest = length % options.frames;
  return length / options.frames + (rest >= options.minimum && rest > 0 ? 1 : 0);
}

void check_options(const CodeBatchOptions& options) {
  GAMUT_CHECK(options.batch >= 1 && options.frames >= 1,
              "batch and frames must be at least 1, got ", options.batch, " and ", options.frames);
  GAMUT_CHECK(options.minimum >= 1 && options.minimum <= options.frames,
              "minimum, the frames that a window must hold, is 1 to ", options.frames, ", not ",
              options.minimum);
}

}  // namespace

CodeBatchSource::CodeBatchSource(std::shared_ptr<const CodeSet> set,
                                 const CodeBatchOptions& options)
    : set_(std::move(set)), options_(options) {
  check_options(options);
  if (!options_.pad) options_.pad = set_->description().vocab_size;
  starts_.reserve(static_cast<size_t>(set_->items()) + 1);
  int64_t longest = 0;
  for (const auto& shard : set_->shards()) {
    for (int64_t i = 0; i < shard->items(); ++i) {
      const int64_t count = windows_of(shard->length(i), options_);
      longest = std::max(longest, shard->length(i));
      left_out_ += count == 0;
      starts_.push_back(starts_.back() + count);
    }
  }
  GAMUT_CHECK(windows() > 0, "no window of ", options_.minimum, " frames or more can be cut from ",
              set_->items(), " items (", set_->shards()[0]->path().string(),
              set_->shards().size() > 1 ? ", ..." : "", "), of which the longest has ", longest);
}

CodeBatchSource::Window CodeBatchSource::window(int64_t position) const {
  const auto epoch = static_cast<uint64_t>(position / windows());
  int64_t index = position % windows();
  const uint64_t key = mix64(options_.seed) ^ mix64(~epoch);
  if (options_.shuffled) {
    index = static_cast<int64_t>(Permutation(windows(), key)(static_cast<uint64_t>(index)));
  }
  // The last item whose windows start at or before it; items without windows are passed over.
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), index);
  const auto item = static_cast<int64_t>(after - starts_.begin()) - 1;
  const int64_t length = set_->length(item);
  int64_t begin = (index - starts_[static_cast<size_t>(item)]) * options_.frames;
  if (options_.cut == CodeCut::crops) {
    const auto places = static_cast<uint64_t>(std::max<int64_t>(length - options_.frames, 0) + 1);
    begin = static_cast<int64_t>(mix64(key ^ mix64(static_cast<uint64_t>(index))) % places);
  }
  return {item, begin, std::min(options_.frames, length - begin)};
}

CodeBatch CodeBatchSource::rows(int64_t position, int64_t count) const {
  const int64_t codebooks = set_->description().codebooks;
  CodeBatch batch{at::full({count, codebooks, options_.frames}, options_.pad.value(), at::kLong),
                  at::empty({count}, at::kLong),
                  at::empty({count}, at::kLong),
                  at::empty({count}, at::kLong),
                  at::empty({count}, at::kBool),
                  position + count};
  auto* codes = batch.codes.data_ptr<int64_t>();
  for (int64_t row = 0; row < count; ++row, codes += codebooks * options_.frames) {
    const Window cut = window(position + row);
    set_->read(cut.item, cut.begin, cut.length, codes, options_.frames);
    batch.lengths.data_ptr<int64_t>()[row] = cut.length;
    batch.items.data_ptr<int64_t>()[row] = cut.item;
    batch.starts.data_ptr<int64_t>()[row] = cut.begin;
    batch.ended.data_ptr<bool>()[row] = cut.begin + cut.length == set_->length(cut.item);
  }
  return batch;
}

CodeBatch CodeBatchSource::at(int64_t position) const {
  GAMUT_CHECK(position >= 0, "a data position is 0 or more, got ", position);
  return rows(position, options_.batch);
}

CodeBatch CodeBatchSource::of_epoch(int64_t index) const {
  GAMUT_CHECK(index >= 0 && index < batches(), "there is no batch ", index,
              " in an epoch, only 0 to ", batches() - 1);
  const int64_t first = index * options_.batch;
  return rows(first, std::min(options_.batch, windows() - first));
}

}  // namespace gamut::data
