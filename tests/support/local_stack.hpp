// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "comm/exchange/transport.hpp"
#include "tests/support/stack_case.hpp"

namespace hashep::test {

/// Runs one step of the case with a plan that has been made: returns the
/// rank's output rows. Collective over the transport's ranks.
std::vector<std::byte> run_plan(const StackCase& c, const StackGeometry& geometry, BatchPlan plan,
                                Transport& transport, int ep_rank);

/// Runs one step of the case on `transport` as rank `ep_rank`, planning without an exchange.
/// Returns this rank's output rows. Collective over the transport's ranks.
std::vector<std::byte> run_stack(const StackCase& c, Transport& transport, const StackNodes& nodes,
                                 int ep_rank);

/// The same on `ep_size` ranks (threads) of this process with transport local: the rows of the
/// whole batch.
std::vector<std::byte> run_stack_locally(const StackCase& c, int ep_size);

}  // namespace hashep::test
