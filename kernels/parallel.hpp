// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>

#include "hashep/split.hpp"

/// \file
/// All that computes on several threads does so here, on OpenMP's team, which oneDNN shares.

namespace hashep {

/// While it lives, OpenMP regions that the calling thread opens have at most `threads` threads.
/// oneDNN asks OpenMP for its threads both when a primitive is made and when it runs.
class OmpThreads {
 public:
  explicit OmpThreads(int threads) : before_(omp_get_max_threads()) {
    omp_set_num_threads(threads);
  }
  ~OmpThreads() { omp_set_num_threads(before_); }
  OmpThreads(const OmpThreads&) = delete;
  OmpThreads& operator=(const OmpThreads&) = delete;

 private:
  int before_;
};

/// What the threads of a team threw: of several exceptions, that of the lowest item.
class FirstFailure {
 public:
  /// Keeps the exception that is being handled, which work on `item` threw.
  void keep(int64_t item) noexcept {
    const std::lock_guard lock(mutex_);
    if (item >= item_) return;
    item_ = item;
    error_ = std::current_exception();
  }
  /// Whether an item before `item` has failed, so that no work on it is needed.
  bool precedes(int64_t item) const { return item_.load(std::memory_order_relaxed) < item; }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::atomic<int64_t> item_ = std::numeric_limits<int64_t>::max();
  std::exception_ptr error_;
};

/// Calls body(begin, end) on contiguous parts of [0, count), one part per thread of a team of at
/// most `threads` (of one at least); parts of fewer than `grain` things are not worth a thread.
/// Where bodies throw, the exception of the first part leaves it.
template <typename Body>
void parallel_ranges(int64_t count, int threads, int64_t grain, Body&& body) {
  const int64_t useful = grain > 0 ? (count + grain - 1) / grain : count;
  const int team = static_cast<int>(useful < threads ? useful : threads);
  if (team <= 1) {
    if (count > 0) body(int64_t{0}, count);
    return;
  }
  FirstFailure failure;
#pragma omp parallel for num_threads(team) schedule(static, 1)
  for (int part = 0; part < team; ++part) {
    try {
      const Range range = split_range(count, team, part);
      body(range.begin, range.end);
    } catch (...) {
      failure.keep(part);
    }
  }
  failure.rethrow();
}

/// Calls body(thread, item) once for each item in [0, count), on a team of at most `threads`
/// threads (of one at least), whichever of them is free; thread: its number in the team. In a body,
/// OpenMP (and so oneDNN) has one thread. Where bodies throw, the exception of the lowest item
/// leaves it.
template <typename Body>
void parallel_items(int64_t count, int threads, const Body& body) {
  if (count <= 0) return;
  const int team = std::max(1, static_cast<int>(std::min<int64_t>(count, threads)));
  FirstFailure failure;
#pragma omp parallel num_threads(team)
  {
    const OmpThreads one_thread(1);
#pragma omp for schedule(dynamic, 1)
    for (int64_t item = 0; item < count; ++item) {
      if (failure.precedes(item)) continue;
      try {
        body(omp_get_thread_num(), item);
      } catch (...) {
        failure.keep(item);
      }
    }
  }
  failure.rethrow();
}

}  // namespace hashep
