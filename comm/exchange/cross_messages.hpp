// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include "comm/communicator.hpp"

namespace hashep {

// Messages between a source and the rank of another node that takes its rows in, by tag; those of
// one tag keep their order.
inline constexpr int kRoutesTag = 1;   // where rows go on the node
inline constexpr int kRowsTag = 2;     // the rows
inline constexpr int kWeightsTag = 3;  // how to sum results on the node
inline constexpr int kResultsTag = 4;  // the results

/// Whether a request (null counts) is complete. Makes MPI progress.
inline bool is_done(MPI_Request& request) {
  if (request == MPI_REQUEST_NULL) return true;
  int done = 0;
  check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

}  // namespace hashep
