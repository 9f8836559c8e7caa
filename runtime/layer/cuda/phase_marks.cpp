// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/cuda/phase_marks.hpp"

#include <exception>
#include <optional>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {

PhaseMarks::PhaseMarks(int64_t max_phases, bool timed, Observer observer)
    : timed_(timed), observer_(std::move(observer)) {
  if (!timed) return;
  marks_.resize(static_cast<size_t>(max_phases));
  spans_.reserve(marks_.size() + 1);
}

void PhaseMarks::tell(Phase phase, int64_t layer) const {
  if (observer_) observer_({phase, number_, layer});
}

void PhaseMarks::begin(int64_t step, DeviceStream stream) {
  number_ = step;
  used_ = 0;
  tell(Phase::step, -1);
  if (timed_) step_.begin.record_in_graph(stream);
}

void PhaseMarks::end(DeviceStream stream) {
  tell(Phase::step, -1);
  if (timed_) step_.end.record_in_graph(stream);
}

size_t PhaseMarks::open(Phase phase, int64_t layer, DeviceStream stream, int track) {
  tell(phase, layer);
  if (!timed_) return 0;
  if (used_ == marks_.size()) throw RunError("phase marks: more than expected");
  Mark& mark = marks_[used_];
  mark.phase = phase;
  mark.layer = layer;
  mark.track = track;
  mark.begin.record_in_graph(stream);
  return used_++;
}

std::span<const PhaseSpan> PhaseMarks::spans() {
  spans_.clear();
  if (!timed_) return spans_;
  const auto at = [this](const CudaEvent& event) {
    return microseconds_between(step_.begin, event);
  };
  for (size_t i = 0; i < used_; ++i) {
    const Mark& mark = marks_[i];
    spans_.push_back({mark.phase, mark.layer, mark.track, at(mark.begin), at(mark.end)});
  }
  spans_.push_back({Phase::step, -1, 0, 0.0, at(step_.end)});
  return spans_;
}

Phase PhaseMarks::phase_under_way(int64_t& layer) const {
  layer = -1;
  if (!timed_ || !step_.begin.is_done()) return Phase::step;
  for (size_t i = 0; i < used_; ++i) {
    const Mark& mark = marks_[i];
    // In a graph an event that was not reached yet may hold its time in the replay before.
    const std::optional<double> ended = microseconds_if_known(step_.begin, mark.end);
    if (ended && *ended >= 0.0) continue;
    layer = mark.layer;
    return mark.phase;
  }
  return Phase::step;
}

PhaseMarks::Scope::Scope(PhaseMarks& marks, Phase phase, int64_t layer, DeviceStream stream,
                         int track)
    : marks_(marks),
      stream_(stream),
      range_(phase_name(phase)),
      mark_(marks.open(phase, layer, stream, track)) {}

PhaseMarks::Scope::~Scope() noexcept(false) {
  // While an error unwinds there is nothing left to time.
  if (marks_.timed_ && std::uncaught_exceptions() == 0) {
    marks_.marks_[mark_].end.record_in_graph(stream_);
  }
}

}  // namespace hashep
