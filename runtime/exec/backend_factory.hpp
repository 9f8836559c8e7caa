// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "comm/communicator.hpp"
#include "comm/topology.hpp"
#include "comm/transport/transport.hpp"
#include "comm/watch.hpp"

namespace hashep {

/// The one place that knows which devices and transports this build has.

/// `name`: auto, cpu or cuda. Returns the device that is used. Throws InputError where it is not to
/// be had.
std::string resolve_device(const std::string& name);

/// The names that --transport takes.
std::span<const std::string_view> transport_names();

/// Throws InputError where make_transport would on any nodes; local, and before any rank waits.
void require_transport(const std::string& name);

/// The transport that `name` stands for on these nodes: auto is shm where all ranks share a node,
/// else hier; any other is itself. Throws InputError where it cannot work there. Local.
std::string resolve_transport(const std::string& name, const NodeMap& nodes);

/// `name`: as for resolve_transport. Collective. `topology` and `watch` must outlive the transport.
std::unique_ptr<Transport> make_transport(const std::string& name, const Communicator& comm,
                                          const Topology& topology, Watch& watch, int threads);

}  // namespace hashep
