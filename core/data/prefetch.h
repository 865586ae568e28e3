// Makes batches ahead of time on a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "data/batches.h"
#include "data/codes/batches.h"

namespace gamut::data {

// Serves the batches of a source from a position on. The position is that of the next batch to be
// served, whatever lies ready: saving it and seeking to it later gives the same batches with any
// depth. Used by one thread.
//
// A source gives the batch at a position, `at(position)`, and that has the `position` after it.
template <class Source>
class Prefetcher {
 public:
  using Batch = decltype(std::declval<const Source&>().at(0));

  // `depth` batches at most lie ready; with 0 there is no thread.
  Prefetcher(Source source, int64_t depth);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // Rethrows what making the batch threw; the position stays, and the next call tries again.
  Batch next();
  int64_t position() const { return position_; }
  void seek(int64_t position);
  const Source& source() const { return source_; }

 private:
  struct Item {
    Batch batch;
    std::exception_ptr error;
  };

  void start();
  void stop();
  void produce(int64_t position);

  Source source_;
  size_t depth_;
  int64_t position_ = 0;

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> ready_;
  bool stopping_ = false;
};

extern template class Prefetcher<BatchSource>;
extern template class Prefetcher<CodeBatchSource>;

}  // namespace gamut::data
