// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/watch.hpp"

namespace hashep::test {

/// All ranks of a test, and a watch whose deadline only a hang can reach. Making it is collective.
struct Ranks {
  Communicator comm{MPI_COMM_WORLD};
  Watch watch{comm, 240.0, nullptr};
};

}  // namespace hashep::test
