// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep {

/// What a wait does between polls that were in vain: pause_mpi.cpp for ranks that are processes,
/// pause_smpi.cpp for ranks that are simulated (docs/simulation.md). Local.

/// Polls that are worth making at once: `wanted` where other ranks run at the same time, none
/// where they run only once this one pauses.
int spins_before_pause(int wanted);

/// Lets others go on. `polls`: pauses of this wait so far.
void pause_between_polls(int64_t polls);

}  // namespace hashep
