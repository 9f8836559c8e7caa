// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "launch/train/train_options.hpp"

namespace hashep {

/// Trains from the options' first step, or the checkpoint's, to their last one, and reports.
/// `stop_signal`: as ContextOptions has it. Throws CollectiveInputError on all ranks where
/// something cannot be read or written, or ranks disagree. Collective over all of MPI_COMM_WORLD.
void train_job(const TrainOptions& options, const std::vector<std::string>& args,
               const Communicator& comm, Watch& watch, const volatile int* stop_signal);

}  // namespace hashep
