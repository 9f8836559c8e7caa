// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace hashep::bench {

/// Token ids, and how they are routed, by name (docs/workloads.md).
enum class WorkloadKind {
  uniform,  // seeded ids through a router
  zipf,
  tokens,  // a token file through a router, --workload not being given
  text,    // W7: the same, by its name
};

/// From the word of a command line: a name (uniform, zipf, balanced ...) or a number (W0 ... W7,
/// w0 ... w7). Throws InputError, naming --workload.
WorkloadKind parse_workload(const std::string& text);

/// What parse_workload would take; `tokens` for WorkloadKind::tokens.
std::string workload_name(WorkloadKind kind);

/// All that parse_workload takes, for people.
std::string known_workloads();

}  // namespace hashep::bench
