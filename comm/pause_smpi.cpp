// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <simgrid/s4u/Actor.hpp>

#include "comm/pause.hpp"

namespace hashep {
namespace {

constexpr double kFirstPause = 2e-7;   // simulated seconds
constexpr int64_t kEvenPauses = 16;    // before they grow
constexpr double kGrowth = 1.0 / 16;   // of a pause to the next: a wait ends at most so much late
constexpr double kLongestPause = 1.0;  // simulated seconds: a wait for what never comes

}  // namespace

// The simulated clock stands still while a rank polls, and no other rank runs meanwhile.
int spins_before_pause(int /*wanted*/) {
  return 0;
}

void pause_between_polls(int64_t polls) {
  const auto grown = static_cast<double>(std::max<int64_t>(0, polls - kEvenPauses));
  simgrid::s4u::this_actor::sleep_for(
      std::min(kLongestPause, kFirstPause * std::pow(1.0 + kGrowth, grown)));
}

}  // namespace hashep
