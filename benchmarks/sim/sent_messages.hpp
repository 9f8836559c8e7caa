// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/node_map.hpp"

namespace hashep::bench {

/// What all ranks together have handed to MPI_Isend and MPI_Issend for ranks of other nodes.
struct SentMessages {
  int64_t messages = 0;
  int64_t bytes = 0;
};

/// Counts from now on; `nodes` must outlive the last exchange. All simulated ranks are one process,
/// which counts for all of them: for one rank alone, while none sends.
void count_sent_messages(const NodeMap& nodes);
SentMessages sent_messages();

}  // namespace hashep::bench
