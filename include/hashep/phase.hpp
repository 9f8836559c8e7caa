// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace hashep {

/// What a rank is doing; the words of tables, traces and error messages.
enum class Phase : int64_t {
  setup,              ///< reading and making what the steps need
  route,              ///< finding the experts of tokens
  plan,               ///< waiting for the counts of other ranks, and making plans
  gate,               ///< weighting the experts of tokens
  dispatch,           ///< moving rows to the owners of experts
  far_rows,           ///< the part of experts that is waiting for rows of other nodes
  experts,            ///< computing routed experts
  shared_experts,     ///< computing shared experts
  combine,            ///< moving results back and summing them
  dispatch_backward,  ///< moving gradients to the owners of experts
  experts_backward,   ///< gradients of routed experts
  shared_backward,    ///< gradients of shared experts and gates
  combine_backward,   ///< moving gradients back and summing them
  sum_gradients,      ///< summing gradients of what all ranks hold
  optimizer,          ///< updating parameters
  step,               ///< all of a step
  output,             ///< writing results
  finish              ///< ending
};
/// How many there are.
inline constexpr int kNumPhases = 18;

/// The word for a phase: "dispatch".
const char* phase_name(Phase phase);

/// Where in a run a rank is. Step and layer are -1 outside the step loop.
struct Position {
  Phase phase = Phase::setup;  ///< what it does
  int64_t step = -1;           ///< of the batch, counted from 0
  int64_t layer = -1;          ///< counted from 0

  bool operator==(const Position&) const = default;
};

/// "dispatch, layer 1, step 3".
std::string to_string(const Position& position);

}  // namespace hashep
