// A counter gives out the units; a short queue brings the results back.
#include "data/prepare/workers.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>
#include <utility>

namespace gamut::data {
namespace {

// LibTorch's messages go on with advice for people who build it.
std::string first_line(const std::string& message) {
  return message.substr(0, message.find('\n'));
}

// Of the calling thread alone; at::set_num_threads would also tell the threads to come.
void set_threads([[maybe_unused]] int threads) {
  // LibTorch sets the number of a thread when it first asks for it; ours has to come after.
  at::get_num_threads();
#ifdef _OPENMP
  omp_set_num_threads(threads);
#endif
}

[[noreturn]] void memory_ran_out(const Unit& unit) {
  throw Error(c10::str("memory ran out while ", unit.name,
                       " was worked on; use fewer workers, or leave that file out"));
}

}  // namespace

Workers::Workers(const UnitWork& work, const std::vector<Unit>& units, std::vector<size_t> todo,
                 int workers, int threads)
    : work_(work), units_(units), todo_(std::move(todo)) {
  const size_t count = std::min<size_t>(static_cast<size_t>(workers), todo_.size());
  under_way_.resize(count);
  try {
    for (size_t i = 0; i < count; ++i)
      threads_.emplace_back([this, i, threads] { work_on(i, threads); });
  } catch (const std::system_error& error) {  // the system's limit of threads
    join();
    throw Error(c10::str("cannot start ", count, " workers: ", error.what(), "; use fewer"));
  }
}

void Workers::end() {
  const std::lock_guard lock(mutex_);
  stop_ = true;
  room_.notify_all();
}

void Workers::join() {
  end();
  for (std::thread& thread : threads_) thread.join();
}

Workers::~Workers() {
  join();
}

std::optional<Workers::Finished> Workers::next(double seconds) {
  std::unique_lock lock(mutex_);
  ready_.wait_for(lock, std::chrono::duration<double>(seconds),
                  [this] { return failure_ || !finished_.empty(); });
  if (failure_) std::rethrow_exception(failure_);
  if (finished_.empty()) return std::nullopt;
  Finished first = std::move(finished_.front());
  finished_.pop_front();
  ++taken_;
  room_.notify_one();
  return first;
}

double Workers::weight_under_way() const {
  const std::lock_guard lock(mutex_);
  double weight = 0;
  for (const UnderWay& slot : under_way_) {
    if (slot.unit) weight += slot.context->share() * static_cast<double>(slot.unit->weight);
  }
  return weight;
}

void Workers::work_on(size_t worker, int threads) {
  set_threads(threads);
  const at::NoGradGuard no_grad;
  try {
    for (size_t next = begun_++; next < todo_.size() && !stop_; next = begun_++) {
      UnitResult result = run(units_[todo_[next]], under_way_[worker]);
      if (!deliver(todo_[next], std::move(result))) return;
    }
  } catch (const Interrupted&) {
    // Nothing of the unit is kept.
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    stop_ = true;
    ready_.notify_one();
    room_.notify_all();
  }
}

// Errors are the unit's own, but for those that say that the machine is at its end.
UnitResult Workers::run(const Unit& unit, UnderWay& slot) {
  UnitContext context(stop_);
  const auto under_way = [&](const Unit* which) {
    const std::lock_guard lock(mutex_);
    slot = {which, &context};
  };
  struct Leave {
    decltype(under_way)& set;
    ~Leave() { set(nullptr); }
  } const leave{under_way};
  under_way(&unit);
  try {
    return work_.run(unit, context);
  } catch (const Interrupted&) {
    throw;
  } catch (const std::bad_alloc&) {
    memory_ran_out(unit);
  } catch (const c10::Error& error) {
    const std::string message = first_line(error.what_without_backtrace());
    for (const char* words : {"can't allocate memory", "out of memory"}) {
      if (message.find(words) != std::string::npos) memory_ran_out(unit);
    }
    return UnitResult::skip(message);
  } catch (const std::exception& error) {
    return UnitResult::skip(first_line(error.what()));
  }
}

bool Workers::deliver(size_t unit, UnitResult&& result) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [this] { return stop_ || finished_.size() < under_way_.size() + 1; });
  if (stop_) return false;
  finished_.push_back({unit, std::move(result)});
  ready_.notify_one();
  return true;
}

}  // namespace gamut::data
