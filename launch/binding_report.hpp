// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "launch/gpu_binding.hpp"

namespace hashep {

/// The bindings of all ranks in rank order on rank 0, nothing elsewhere. Collective.
std::vector<GpuBinding> gather_bindings(const Communicator& comm, Watch& watch,
                                        const GpuBinding& own);

/// A line for each of the first 64 ranks, how many more there are, and notes: on ranks that share a
/// GPU, that were bound to cores here, or of whose place launcher and MPI disagree.
std::string binding_lines(std::span<const GpuBinding> bindings);

/// The "binding" of a result: an object for each rank.
nlohmann::ordered_json binding_json(std::span<const GpuBinding> bindings);

}  // namespace hashep
