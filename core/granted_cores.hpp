// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hashep {

/// A limit on the processor time of a control group, which all its processes share.
struct CpuQuota {
  uint64_t group = 0;  // tells control groups of a node apart
  double cores = 0.0;  // seconds of processor time in a second

  friend bool operator==(const CpuQuota&, const CpuQuota&) = default;
};

/// What a process may compute on, whatever else its machine has.
struct CoreGrant {
  std::vector<int> cores;        // that it may run on, as Linux numbers them; ascending
  std::vector<CpuQuota> quotas;  // of its control group and of those around it, as far as seen

  friend bool operator==(const CoreGrant&, const CoreGrant&) = default;
};

/// Of this process: the calling thread's affinity mask, which launchers, `taskset` and containers
/// (--cpuset-cpus) set, and the quotas of control groups, versions 1 and 2 (docker --cpus). Where
/// Linux does not tell, all cores, or no quota. Local.
CoreGrant granted_cores();

/// The quotas alone. `root`: the folder that /proc and the mounted control groups are looked up in,
/// for tests; empty: the real ones.
std::vector<CpuQuota> cpu_quotas(const std::string& root = "");

/// A process' share of what it and others of its node were granted.
struct CoreShare {
  double cores = 1.0;
  std::string why;  // "2 cores shared by 2 ranks", "a CPU quota of 1.5 cores"

  /// Threads that it has cores for; at least 1.
  int threads() const;
};

/// Of grants[own]: processes that may run on a core have equal parts of it, and so have those that
/// are under a quota. grants: of the ranks of a node, at least one.
CoreShare share_of_cores(std::span<const CoreGrant> grants, size_t own);

/// What this process has for itself alone: for programs of one process. Local.
CoreShare own_cores();

}  // namespace hashep
