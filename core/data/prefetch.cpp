// A bounded queue between the thread that makes batches and the one that trains.
#include "data/prefetch.h"

#include <gamut/error.h>

#include <utility>

namespace gamut::data {

template <class Source>
Prefetcher<Source>::Prefetcher(Source source, int64_t depth)
    : source_(std::move(source)), depth_(static_cast<size_t>(depth)) {
  GAMUT_CHECK(depth >= 0 && depth <= 1024, "prefetch must be 0 to 1024 batches, got ", depth);
}

template <class Source>
Prefetcher<Source>::~Prefetcher() {
  stop();
}

template <class Source>
typename Prefetcher<Source>::Batch Prefetcher<Source>::next() {
  if (depth_ == 0) {
    Batch batch = source_.at(position_);
    position_ = batch.position;
    return batch;
  }
  if (!thread_.joinable()) start();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty(); });
  Item item = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_one();
  if (item.error) {
    stop();  // it has ended itself; the next call starts anew at this position
    std::rethrow_exception(item.error);
  }
  position_ = item.batch.position;
  return std::move(item.batch);
}

template <class Source>
void Prefetcher<Source>::seek(int64_t position) {
  GAMUT_CHECK(position >= 0, "a data position is 0 or more, got ", position);
  stop();
  position_ = position;
}

template <class Source>
void Prefetcher<Source>::start() {
  thread_ = std::thread([this, position = position_] { produce(position); });
}

template <class Source>
void Prefetcher<Source>::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
  stopping_ = false;
  ready_.clear();
}

template <class Source>
void Prefetcher<Source>::produce(int64_t position) {
  for (bool failed = false; !failed;) {
    Item item;
    try {
      item.batch = source_.at(position);
      position = item.batch.position;
    } catch (...) {
      item.error = std::current_exception();
      failed = true;
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || ready_.size() < depth_; });
    if (stopping_) return;
    ready_.push_back(std::move(item));
    lock.unlock();
    changed_.notify_one();
  }
}

template class Prefetcher<BatchSource>;
template class Prefetcher<CodeBatchSource>;

}  // namespace gamut::data
