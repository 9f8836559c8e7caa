// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/cuda/nvtx_range.hpp"
#include "core/cuda/stream.hpp"
#include "core/phase.hpp"

namespace hashep {

/// One phase of a step on the GPU, in microseconds since the step began there.
struct PhaseSpan {
  Phase phase = Phase::step;
  int64_t layer = -1;
  double begin_us = 0.0;
  double end_us = 0.0;
};

/// Times the phases of one step on its stream: an event at the beginning, and one where each phase
/// ends and the next begins. Works in a captured graph too: each replay records them anew.
class PhaseMarks {
 public:
  /// Room for `max_phases` phases of a step. Untimed, no event is recorded and there are no spans.
  PhaseMarks(int64_t max_phases, bool timed);

  /// A step begins.
  void begin(DeviceStream stream);

  /// What is asked of the stream in this scope is one phase; a range in NVIDIA's profilers too.
  class Scope {
   public:
    Scope(PhaseMarks& marks, Phase phase, int64_t layer, DeviceStream stream);
    ~Scope() noexcept(false);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseMarks& marks_;
    DeviceStream stream_;
    Position position_;
    NvtxRange range_;
  };

  /// The phases of the step done last, the whole step at the end. The GPU must be done with it.
  std::span<const PhaseSpan> spans();

 private:
  void end(Position position, DeviceStream stream);

  bool timed_;
  std::vector<CudaEvent> events_;     // [max_phases + 1]
  std::vector<Position> positions_;   // of the step that was asked for last; capacity max_phases
  std::vector<PhaseSpan> spans_;
};

}  // namespace hashep
