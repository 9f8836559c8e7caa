// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/exchange_plan.hpp"
#include "hashep/node_map.hpp"

namespace hashep {

/// Tells a simulator, whose clock stands still while a rank computes, how long the copies take that
/// a transport makes itself (local_work_smpi.cpp: bytes over the machine's copy and node
/// bandwidths). On ranks that are processes they take their time, and these do nothing
/// (local_work_mpi.cpp). Local.

/// `rows` rows of `row_bytes` are copied within this rank's memory.
void pass_copy(int64_t rows, int64_t row_bytes);

/// This rank writes its rows for the experts of its own node to their places, or reads their
/// results there: its own rank's by a copy, the others' through the link between the node's ranks.
void pass_node_rows(const ExchangePlan& plan, const NodeMap& nodes, int64_t row_bytes);

/// `rows` rows are written to, or read from, ranks of this node in equal parts.
void pass_spread_rows(int64_t rows, int64_t row_bytes);

}  // namespace hashep
