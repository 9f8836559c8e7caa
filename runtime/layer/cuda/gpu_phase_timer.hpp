// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/cuda/nvtx_range.hpp"
#include "core/cuda/stream.hpp"
#include "hashep/phase.hpp"

namespace hashep {

/// One phase of a step on the GPU, in microseconds since the step began there.
struct PhaseSpan {
  Phase phase = Phase::step;
  int64_t layer = -1;
  int track = 0;  // which stream: 0 is that of the experts, 1 that of the exchange
  double begin_us = 0.0;
  double end_us = 0.0;
};

/// Times the phases of one step on its streams, with an event at the beginning of each and one at
/// its end. Works in a captured graph too: each replay records them anew.
class GpuPhaseTimer {
 public:
  /// Is told where the host is while it asks for a step.
  using Observer = std::function<void(const Position&)>;

  /// Room for `max_phases` phases of a step. Untimed, no event is recorded and there are no spans.
  /// `observer` may be empty.
  GpuPhaseTimer(int64_t max_phases, bool timed, Observer observer);

  /// A step begins, and ends.
  void begin(int64_t step, DeviceStream stream);
  void end(DeviceStream stream);

  /// What is asked of the stream in this scope is one phase; a range in NVIDIA's profilers too.
  class Scope {
   public:
    Scope(GpuPhaseTimer& timer, Phase phase, int64_t layer, DeviceStream stream, int track = 0);
    ~Scope() noexcept(false);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    GpuPhaseTimer& timer_;
    DeviceStream stream_;
    NvtxRange range_;
    size_t index_;
  };

  /// The phases of the step done last, the whole step at the end. The GPU must be done with it.
  std::span<const PhaseSpan> spans();

  /// The earliest phase asked for that the GPU has not ended yet, as far as it can be told; the
  /// step where none is known. Never waits.
  Phase phase_under_way(int64_t& layer) const;

 private:
  struct PhaseEvents {
    CudaEvent begin{CudaEvent::Kind::timing};
    CudaEvent end{CudaEvent::Kind::timing};
    Phase phase = Phase::step;
    int64_t layer = -1;
    int track = 0;
  };

  void tell(Phase phase, int64_t layer) const;
  size_t open(Phase phase, int64_t layer, DeviceStream stream, int track);

  bool timed_;
  Observer observer_;
  int64_t number_ = -1;  // of the step that was asked for last
  PhaseEvents step_;
  std::vector<PhaseEvents> phases_;  // [max_phases]
  size_t used_ = 0;                  // of the step that was asked for last
  std::vector<PhaseSpan> spans_;
};

}  // namespace hashep
