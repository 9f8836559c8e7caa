// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.hpp"
#include "comm/transport/transport.hpp"
#include "comm/watch.hpp"

namespace hashep {

/// The one place that knows which devices and transports this build has.

/// `name`: auto, cpu or cuda. Returns the device that is used. Throws InputError where it is not to
/// be had.
std::string resolve_device(const std::string& name);

/// `name`: auto, mpi, shm, hier, nccl or ipc. Throws InputError where this build or device lacks
/// it. Collective. `watch` must outlive the transport.
std::unique_ptr<Transport> make_transport(const std::string& name, const Communicator& comm,
                                          Watch& watch, int threads);

/// Throws InputError where make_transport would; local, and before any rank waits.
void require_transport(const std::string& name);

}  // namespace hashep
