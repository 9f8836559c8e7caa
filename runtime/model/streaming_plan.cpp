// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/streaming_plan.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <queue>
#include <vector>

#include "runtime/model/eviction_plan.hpp"

namespace hashep {
namespace {

/// Steps on a clock: what is decided when, read when, used when.
class Forecast {
 public:
  Forecast(std::span<const StepUses> steps, const StreamingJob& job)
      : steps_(steps),
        job_(job),
        plan_(job.slots, std::ssize(job.read_bytes)),
        ready_(static_cast<size_t>(job.slots), 0.0) {
    for (int i = 0; i < job.spare; ++i) free_spares_.push(0.0);
  }

  StreamingForecast run() {
    const int64_t lookahead = job_.plan_depth / 2;
    const auto count = std::ssize(steps_);
    int64_t known = 0;
    for (int64_t step = 0; step < count; ++step) {
      for (; known < std::min(count, step + std::max<int64_t>(1, job_.plan_depth)); ++known) {
        for (const ExpertUse& use : steps_[known]) plan_.add(use.item);
        while (known + 1 - decided_ > lookahead) decide();
      }
      while (decided_ <= step) decide();
      compute(steps_[step]);
    }
    std::vector<int32_t> all;
    for (const StepUses& step : steps_) {
      for (const ExpertUse& use : step) all.push_back(static_cast<int32_t>(use.item));
    }
    result_.uses = std::ssize(all);
    result_.least_loads = least_loads(all, job_.slots, std::ssize(job_.read_bytes));
    result_.lru_loads = lru_loads(all, job_.slots, std::ssize(job_.read_bytes));
    return result_;
  }

 private:
  struct Decided {
    EvictionPlan::Use use;
    double since = 0.0;  // when it was decided
    double ready = 0.0;  // of a load: when it was read
  };

  void decide() {
    for (size_t i = 0; i < steps_[decided_].size(); ++i)
      uses_.push_back({plan_.decide(), now_, 0.0});
    ++decided_;
  }

  /// Reads begin in the order of uses: those before this one have begun.
  void compute(const StepUses& step) {
    for (const ExpertUse& use : step) {
      read_ahead(end_of_use_.size());
      const Decided decided = uses_.front();
      uses_.pop_front();
      --read_;
      if (decided.use.is_load) ready_[decided.use.slot] = decided.ready;
      const double begin = std::max(now_, ready_[decided.use.slot]);
      result_.stall_s += begin - now_;
      const double took = static_cast<double>(use.rows) * job_.seconds_per_row;
      result_.compute_s += took;
      now_ = begin + took;
      const auto number = std::ssize(end_of_use_);
      end_of_use_.push_back(now_);
      if (const auto freed = freed_.find(number); freed != freed_.end()) {
        for (int i = 0; i < freed->second; ++i) free_spares_.push(now_);
        freed_.erase(freed);
      }
    }
  }

  /// Begins the reads that have slots once `done` uses have ended.
  void read_ahead(size_t done) {
    for (; read_ < uses_.size(); ++read_) {
      const Decided& decided = uses_[read_];
      if (!decided.use.is_load) continue;
      double free = 0.0;
      if (decided.use.free_after >= 0) {
        if (decided.use.free_after < static_cast<int64_t>(done)) {
          free = end_of_use_[decided.use.free_after];
        } else if (!free_spares_.empty()) {
          free = free_spares_.top();
          free_spares_.pop();
          ++freed_[decided.use.free_after];
        } else {
          return;
        }
      }
      const int64_t bytes = job_.read_bytes[decided.use.item];
      const double took =
          job_.disk_bytes_per_s > 0.0 ? static_cast<double>(bytes) / job_.disk_bytes_per_s : 0.0;
      disk_free_ = std::max({disk_free_, free, decided.since}) + took;
      uses_[read_].ready = disk_free_;
      result_.loads += 1;
      result_.bytes_read += bytes;
    }
  }

  std::span<const StepUses> steps_;
  const StreamingJob& job_;
  EvictionPlan plan_;
  std::vector<double> ready_;       // by slot: when what it holds was read
  std::vector<double> end_of_use_;  // by number
  std::deque<Decided> uses_;        // decided and not computed
  std::priority_queue<double, std::vector<double>, std::greater<>> free_spares_;  // since when
  std::map<int64_t, int> freed_;  // slots that become free with a use
  size_t read_ = 0;               // of these, those whose reads have begun
  int64_t decided_ = 0;           // steps
  double now_ = 0.0;
  double disk_free_ = 0.0;
  StreamingForecast result_;
};

}  // namespace

StreamingForecast forecast_streaming(std::span<const StepUses> steps, const StreamingJob& job) {
  return Forecast(steps, job).run();
}

}  // namespace hashep
