// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/phase_log.hpp"

#include <algorithm>
#include <exception>

namespace hashep {

PhaseLog::PhaseLog(Watch* watch, int64_t max_samples, bool trace)
    : watch_(watch),
      origin_(std::chrono::steady_clock::now()),
      capacity_(std::clamp<int64_t>(max_samples, 1, kMaxSamples)),
      trace_(trace) {
  for (Samples& samples : samples_) samples.ring.resize(capacity_);
  if (trace_) events_.reserve(std::min(kMaxEvents, kNumPhases * max_samples));
}

void PhaseLog::set_origin() {
  origin_ = std::chrono::steady_clock::now();
}

std::vector<double> PhaseLog::samples(Phase phase) const {
  const Samples& samples = samples_[static_cast<size_t>(phase)];
  const int64_t kept = std::min(samples.count, capacity_);
  std::vector<double> result;
  result.reserve(kept);
  for (int64_t i = samples.count - kept; i < samples.count; ++i) {
    result.push_back(samples.ring[i % capacity_]);
  }
  return result;
}

void PhaseLog::clear() {
  for (Samples& samples : samples_) samples.count = 0;
  events_.clear();
}

int64_t PhaseLog::now_ns() const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() -
                                                              origin_)
      .count();
}

void PhaseLog::record(const PhaseEvent& event) {
  Samples& samples = samples_[static_cast<size_t>(event.position.phase)];
  samples.ring[samples.count % capacity_] =
      static_cast<float>(event.end_ns - event.begin_ns) * 1e-3f;
  ++samples.count;
  if (trace_ && events_.size() < events_.capacity()) events_.push_back(event);
}

PhaseLog::Scope::Scope(PhaseLog& log, Phase phase, int64_t layer)
    : log_(log), position_{phase, log.step_, layer}, begin_ns_(log.now_ns()) {
  if (log_.watch_ != nullptr) {
    outer_ = log_.watch_->position();
    log_.watch_->at(position_);
    log_.watch_->check_stop();
  }
}

PhaseLog::Scope::~Scope() {
  log_.record({position_, begin_ns_, log_.now_ns()});
  // While an error unwinds, its report is to name the innermost place.
  const bool is_nested = outer_.layer >= 0 && outer_.layer == position_.layer;
  if (log_.watch_ != nullptr && is_nested && std::uncaught_exceptions() == 0) {
    log_.watch_->at(outer_);
  }
}

}  // namespace hashep
