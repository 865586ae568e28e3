// Units on worker threads; their results, as they come, for the thread that leads.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "data/prepare/unit.h"

namespace gamut::data {

class Workers {
 public:
  struct Finished {
    size_t unit = 0;  // its index
    UnitResult result;
  };

  // Begins at once with the units at `todo`, in that order. `threads` is how many OpenMP threads
  // each worker may use. Everything given outlives this object.
  Workers(const UnitWork& work, const std::vector<Unit>& units, std::vector<size_t> todo,
          int workers, int threads);
  // Ends what is under way; its results are lost.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // The next result; nothing when none came within `seconds`, or when all were taken. An exception
  // that is no fault of a unit (memory ran out) comes out here.
  std::optional<Finished> next(double seconds);
  // Nothing more is begun or delivered; what lies ready can still be taken.
  void end();
  bool all_taken() const { return taken_ == todo_.size(); }
  // How much of the units under way is done, in their weight.
  double weight_under_way() const;

 private:
  struct UnderWay {
    const Unit* unit = nullptr;  // null between units
    const UnitContext* context = nullptr;
  };

  void join();
  void work_on(size_t worker, int threads);
  UnitResult run(const Unit& unit, UnderWay& slot);
  bool deliver(size_t unit, UnitResult&& result);

  const UnitWork& work_;
  const std::vector<Unit>& units_;
  const std::vector<size_t> todo_;
  std::atomic<size_t> begun_{0};
  size_t taken_ = 0;
  std::atomic<bool> stop_{false};

  mutable std::mutex mutex_;
  std::condition_variable ready_, room_;
  std::deque<Finished> finished_;  // as many as there are workers, then these wait
  std::exception_ptr failure_;
  std::vector<UnderWay> under_way_;
  std::vector<std::thread> threads_;
};

}  // namespace gamut::data
