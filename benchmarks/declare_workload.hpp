// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include "benchmarks/workloads/make_workload.hpp"

namespace hashep::bench {

/// Token ids and their routing, for benchmarks on ranks and for predictions: all of a workload but
/// its sizes.
void declare_workload(CLI::App& command, WorkloadOptions& options);

}  // namespace hashep::bench
