// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "launch/run_options.hpp"

namespace hashep {

/// The main job: set-up, steps, check, results. Prints on rank 0. Collective. Throws InputError or
/// RunError.
void run_job(const RunOptions& options, const std::vector<std::string>& args,
             const Communicator& comm, Watch& watch);

}  // namespace hashep
