// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/cuda/gpu_phase_timer.hpp"

#include <exception>
#include <optional>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {

GpuPhaseTimer::GpuPhaseTimer(int64_t max_phases, bool timed, Observer observer)
    : timed_(timed), observer_(std::move(observer)) {
  if (!timed) return;
  phases_.resize(max_phases);
  spans_.reserve(phases_.size() + 1);
}

void GpuPhaseTimer::tell(Phase phase, int64_t layer) const {
  if (observer_) observer_({phase, number_, layer});
}

void GpuPhaseTimer::begin(int64_t step, DeviceStream stream) {
  number_ = step;
  used_ = 0;
  tell(Phase::step, -1);
  if (timed_) step_.begin.record_in_graph(stream);
}

void GpuPhaseTimer::end(DeviceStream stream) {
  tell(Phase::step, -1);
  if (timed_) step_.end.record_in_graph(stream);
}

size_t GpuPhaseTimer::open(Phase phase, int64_t layer, DeviceStream stream, int track) {
  tell(phase, layer);
  if (!timed_) return 0;
  if (used_ == phases_.size()) throw RunError("phase timer: more than expected");
  PhaseEvents& events = phases_[used_];
  events.phase = phase;
  events.layer = layer;
  events.track = track;
  events.begin.record_in_graph(stream);
  return used_++;
}

std::span<const PhaseSpan> GpuPhaseTimer::spans() {
  spans_.clear();
  if (!timed_) return spans_;
  const auto at = [this](const CudaEvent& event) {
    return microseconds_between(step_.begin, event);
  };
  for (size_t i = 0; i < used_; ++i) {
    const PhaseEvents& events = phases_[i];
    spans_.push_back({events.phase, events.layer, events.track, at(events.begin), at(events.end)});
  }
  spans_.push_back({Phase::step, -1, 0, 0.0, at(step_.end)});
  return spans_;
}

Phase GpuPhaseTimer::phase_under_way(int64_t& layer) const {
  layer = -1;
  if (!timed_ || !step_.begin.is_done()) return Phase::step;
  for (size_t i = 0; i < used_; ++i) {
    const PhaseEvents& events = phases_[i];
    // In a graph an event that was not reached yet may hold its time in the replay before.
    const std::optional<double> ended = microseconds_if_known(step_.begin, events.end);
    if (ended && *ended >= 0.0) continue;
    layer = events.layer;
    return events.phase;
  }
  return Phase::step;
}

GpuPhaseTimer::Scope::Scope(GpuPhaseTimer& timer, Phase phase, int64_t layer, DeviceStream stream,
                            int track)
    : timer_(timer),
      stream_(stream),
      range_(phase_name(phase)),
      index_(timer.open(phase, layer, stream, track)) {}

GpuPhaseTimer::Scope::~Scope() noexcept(false) {
  // While an error unwinds there is nothing left to time.
  if (timer_.timed_ && std::uncaught_exceptions() == 0) {
    timer_.phases_[index_].end.record_in_graph(stream_);
  }
}

}  // namespace hashep
