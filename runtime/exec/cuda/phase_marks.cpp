// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/cuda/phase_marks.hpp"

#include <exception>

#include "core/error.hpp"

namespace hashep {

PhaseMarks::PhaseMarks(int64_t max_phases, bool timed) : timed_(timed) {
  if (!timed) return;
  events_.reserve(static_cast<size_t>(max_phases) + 1);
  for (int64_t i = 0; i <= max_phases; ++i) events_.emplace_back(CudaEvent::Kind::timing);
  positions_.reserve(static_cast<size_t>(max_phases));
  spans_.reserve(static_cast<size_t>(max_phases) + 1);
}

void PhaseMarks::begin(DeviceStream stream) {
  if (!timed_) return;
  positions_.clear();
  events_.front().record_in_graph(stream);
}

void PhaseMarks::end(Position position, DeviceStream stream) {
  if (!timed_) return;
  if (positions_.size() + 1 >= events_.size()) throw RunError("phase marks: more than expected");
  positions_.push_back(position);
  events_[positions_.size()].record_in_graph(stream);
}

std::span<const PhaseSpan> PhaseMarks::spans() {
  spans_.clear();
  double begin = 0.0;
  for (size_t i = 0; i < positions_.size(); ++i) {
    const double end = microseconds_between(events_.front(), events_[i + 1]);
    spans_.push_back({positions_[i].phase, positions_[i].layer, begin, end});
    begin = end;
  }
  if (timed_) spans_.push_back({Phase::step, -1, 0.0, begin});
  return spans_;
}

PhaseMarks::Scope::Scope(PhaseMarks& marks, Phase phase, int64_t layer, DeviceStream stream)
    : marks_(marks), stream_(stream), position_{phase, -1, layer}, range_(phase_name(phase)) {}

PhaseMarks::Scope::~Scope() noexcept(false) {
  // While an error unwinds there is nothing left to time.
  if (std::uncaught_exceptions() == 0) marks_.end(position_, stream_);
}

}  // namespace hashep
