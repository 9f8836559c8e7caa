// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "core/granted_cores.hpp"

namespace hashep {

/// What each rank of a node was granted, in rank order, on all of them. Collective over `node`.
std::vector<CoreGrant> gather_core_grants(const Communicator& node, Watch& watch);

/// This rank's share of it. Collective over `node`.
CoreShare find_core_share(const Communicator& node, Watch& watch);

}  // namespace hashep
