// SPDX-License-Identifier: Apache-2.0
#include "hashep/phase.hpp"

#include <array>

namespace hashep {

const char* phase_name(Phase phase) {
  static constexpr std::array<const char*, kNumPhases> kNames = {"setup",
                                                                 "route",
                                                                 "plan",
                                                                 "gate",
                                                                 "dispatch",
                                                                 "far_rows",
                                                                 "experts",
                                                                 "shared_experts",
                                                                 "combine",
                                                                 "dispatch_backward",
                                                                 "experts_backward",
                                                                 "shared_backward",
                                                                 "combine_backward",
                                                                 "sum_gradients",
                                                                 "optimizer",
                                                                 "step",
                                                                 "output",
                                                                 "finish"};
  return kNames.at(static_cast<size_t>(phase));
}

std::string to_string(const Position& position) {
  std::string text = phase_name(position.phase);
  if (position.layer >= 0) text += ", layer " + std::to_string(position.layer);
  if (position.step >= 0) text += ", step " + std::to_string(position.step);
  return text;
}

}  // namespace hashep
