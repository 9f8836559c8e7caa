// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace hashep::bench {

/// Token ids, and how they are routed, by name (docs/workloads.md).
enum class WorkloadKind {
  // Seeded ids through a router.
  uniform,
  zipf,
  // Tokens go to experts by rules of the workload: W0 to W6.
  balanced,
  hot_experts,
  hot_rank,
  ragged_source,
  zero_load,
  rotating,
  burst,
  // A token file through a router: W7, and the same where --workload is not given.
  text,
  tokens,
};

/// Whether it is one of W0 to W6, which need no router.
bool has_rules(WorkloadKind kind);

/// From a name (uniform, zipf, balanced ...) or a number (W0 ... W7, w0 ... w7); nothing for
/// others.
std::optional<WorkloadKind> find_workload(const std::string& text);
/// The same for the word of a command line. Throws InputError, naming --workload.
WorkloadKind parse_workload(const std::string& text);

/// What parse_workload would take; `tokens` for WorkloadKind::tokens.
std::string workload_name(WorkloadKind kind);

/// All that parse_workload takes, for people.
std::string known_workloads();

}  // namespace hashep::bench
