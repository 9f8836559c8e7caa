// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace hashep {

/// What a rank is doing; the words of tables, traces and error messages.
enum class Phase : int64_t {
  setup,
  route,
  plan,
  gate,
  dispatch,
  far_rows,  // the part of experts that is waiting for rows of other nodes
  experts,
  shared_experts,
  combine,
  step,
  output,
  finish
};
inline constexpr int kNumPhases = 12;

const char* phase_name(Phase phase);

/// Where in a run a rank is. Step and layer are -1 outside the step loop.
struct Position {
  Phase phase = Phase::setup;
  int64_t step = -1;
  int64_t layer = -1;

  bool operator==(const Position&) const = default;
};

/// "dispatch, layer 1, step 3".
std::string to_string(const Position& position);

}  // namespace hashep
