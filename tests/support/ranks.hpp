// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/watch.hpp"

namespace hashep::test {

/// All ranks of a test, and a watch whose deadline only a hang can reach. Making it is collective.
struct Ranks {
  /// `deadline`: in seconds; less than what ends the whole test.
  explicit Ranks(double deadline = 240.0) : watch(comm, deadline, nullptr) {}

  Communicator comm{MPI_COMM_WORLD};
  Watch watch;
};

/// Of tests on GPUs, of which tests/gpu/run.sh ends each part soon: seconds.
inline constexpr double kGpuDeadline = 20.0;

}  // namespace hashep::test
