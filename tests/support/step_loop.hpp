// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "comm/topology.hpp"
#include "hashep/backend.hpp"
#include "runtime/layer/stream_planner.hpp"
#include "tests/support/local_stack.hpp"

namespace hashep::test {

/// Looks at a step loop from outside.
struct StepLooks {
  std::function<void(int64_t step)> before_planning;  // of the step's turn
  std::function<void(int64_t step)> before_run;       // its batch is planned, the next are begun
  std::function<void(int64_t step)> after_run;
};

/// How a step loop moves rows and plans.
struct LoopSettings {
  TransportKind transport = TransportKind::mpi;
  int plan_depth = 1;
};

/// Runs steps of a case over MPI as `hashep run` does: finish a batch's plans, prepare, begin the
/// next batches, run. Collective.
void run_step_loop(const StackCase& c, const TokenStream& stream, const LoopSettings& settings,
                   const Communicator& comm, const Topology& topology, Watch& watch, int64_t steps,
                   const StepLooks& looks);

/// A stream that repeats itself every `period` ids, so that every batch of that size is the same.
std::unique_ptr<TokenStream> repeating_stream(int64_t vocab_size, int64_t period);

}  // namespace hashep::test
