// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include "comm/pause.hpp"

namespace hashep {

int spins_before_pause(int wanted) {
  return wanted;
}

void pause_between_polls(int64_t /*polls*/) {
  sched_yield();
}

}  // namespace hashep
