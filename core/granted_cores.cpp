// SPDX-License-Identifier: Apache-2.0
#include "core/granted_cores.hpp"

#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>
#include <thread>

#include "core/format.hpp"

namespace hashep {
namespace {

constexpr int kMostCores = 1 << 18;  // more than any machine has

struct FreeSet {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};

std::vector<int> affinity_mask() {
  std::vector<int> cores;
  for (int size = 1024; size <= kMostCores; size *= 4) {
    const std::unique_ptr<cpu_set_t, FreeSet> set(CPU_ALLOC(static_cast<size_t>(size)));
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(size));
    if (set == nullptr) break;
    CPU_ZERO_S(bytes, set.get());
    if (sched_getaffinity(0, bytes, set.get()) == 0) {
      for (int core = 0; core < size; ++core) {
        if (CPU_ISSET_S(static_cast<size_t>(core), bytes, set.get())) cores.push_back(core);
      }
      break;
    }
    if (errno != EINVAL) break;  // else the machine has more cores
  }
  if (cores.empty()) {
    cores.resize(std::max(1u, std::thread::hardware_concurrency()));
    std::iota(cores.begin(), cores.end(), 0);
  }
  return cores;
}

bool has_word(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string each; std::getline(words, each, ',');) {
    if (each == word) return true;
  }
  return false;
}

/// A path of mountinfo, which has spaces and the like as \040.
std::string unescape(const std::string& text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      path += text[i];
      continue;
    }
    path += static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
    i += 3;
  }
  return path;
}

/// A mounted tree of control groups that can limit processor time.
struct GroupMount {
  int version = 2;
  std::string root;   // the group that stands at `point`
  std::string point;  // a folder
};

/// /proc/self/mountinfo: ID PARENT DEVICE ROOT POINT OPTIONS [FIELD...] - TYPE SOURCE OPTIONS
std::vector<GroupMount> group_mounts(const std::string& proc) {
  std::vector<GroupMount> mounts;
  std::ifstream file(proc + "/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string skipped;
    GroupMount mount;
    fields >> skipped >> skipped >> skipped >> mount.root >> mount.point;
    for (std::string field; fields >> field && field != "-";) {
    }
    std::string type;
    std::string options;
    if (!(fields >> type >> skipped >> options)) continue;
    mount.root = unescape(mount.root);
    mount.point = unescape(mount.point);
    if (type == "cgroup2") {
      mount.version = 2;
    } else if (type == "cgroup" && has_word(options, "cpu")) {
      mount.version = 1;
    } else {
      continue;
    }
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

/// This process' group in trees of that version. /proc/self/cgroup: NUMBER:CONTROLLERS:GROUP
std::optional<std::string> own_group(const std::string& proc, int version) {
  std::ifstream file(proc + "/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool found =
        version == 2 ? line.starts_with("0:") && controllers.empty() : has_word(controllers, "cpu");
    if (found) return line.substr(second + 1);
  }
  return std::nullopt;
}

/// Seconds of processor time in a second; nothing where there is no limit.
std::optional<double> quota_of(const std::string& folder, int version) {
  double quota = 0.0;  // "max" and -1 are no limits
  double period = 0.0;
  if (version == 2) {
    std::ifstream(folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  if (!(quota > 0.0) || !(period > 0.0)) return std::nullopt;
  return quota / period;
}

/// The folder's inode, which is the group's own wherever its tree is mounted.
uint64_t group_id(const std::string& folder) {
  struct stat status = {};
  if (stat(folder.c_str(), &status) != 0) return 0;
  return uint64_t{status.st_dev} << 48 ^ uint64_t { status.st_ino };
}

std::string number(double value) {
  return format("%.4g", value);
}

std::string count_of(size_t count, const char* thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

std::string shared_by(size_t ranks) {
  return ranks == 1 ? "" : " shared by " + std::to_string(ranks) + " ranks";
}

bool is_under(const CoreGrant& grant, uint64_t group) {
  return std::any_of(grant.quotas.begin(), grant.quotas.end(),
                     [group](const CpuQuota& quota) { return quota.group == group; });
}

}  // namespace

std::vector<CpuQuota> cpu_quotas(const std::string& root) {
  std::vector<CpuQuota> quotas;
  const std::string proc = root + "/proc";
  for (const GroupMount& mount : group_mounts(proc)) {
    const std::optional<std::string> group = own_group(proc, mount.version);
    if (!group) continue;
    // In a container /proc may name a group as the host does, and what is mounted begin with it;
    // a group that is not below what is mounted is nearest to its top.
    const std::string top = mount.root == "/" ? "" : mount.root;
    std::string below;
    if (group->starts_with(top + "/")) below = group->substr(top.size());
    if (below == "/" || below.find("..") != std::string::npos) below.clear();
    for (;;) {
      const std::string folder = root + mount.point + below;
      if (const auto cores = quota_of(folder, mount.version)) {
        const CpuQuota quota{group_id(folder), *cores};
        if (std::find(quotas.begin(), quotas.end(), quota) == quotas.end()) quotas.push_back(quota);
      }
      if (below.empty()) break;
      below.resize(below.rfind('/'));
    }
  }
  return quotas;
}

CoreGrant granted_cores() {
  return {affinity_mask(), cpu_quotas()};
}

int CoreShare::threads() const {
  return std::max(1, static_cast<int>(cores + 1e-6));  // of parts of cores that make whole ones
}

CoreShare share_of_cores(std::span<const CoreGrant> grants, size_t own) {
  const CoreGrant& mine = grants[own];
  CoreShare share{.cores = 0.0, .why = ""};
  size_t most = 1;
  for (const int core : mine.cores) {
    const auto ranks = static_cast<size_t>(
        std::count_if(grants.begin(), grants.end(), [core](const CoreGrant& grant) {
          return std::binary_search(grant.cores.begin(), grant.cores.end(), core);
        }));
    share.cores += 1.0 / static_cast<double>(ranks);
    most = std::max(most, ranks);
  }
  share.why = count_of(mine.cores.size(), "core") + shared_by(most);
  for (const CpuQuota& quota : mine.quotas) {
    const auto ranks = static_cast<size_t>(
        std::count_if(grants.begin(), grants.end(),
                      [&](const CoreGrant& grant) { return is_under(grant, quota.group); }));
    const double cores = quota.cores / static_cast<double>(ranks);
    if (cores >= share.cores) continue;
    share = {cores, "a CPU quota of " + number(quota.cores) +
                        (quota.cores == 1.0 ? " core" : " cores") + shared_by(ranks)};
  }
  return share;
}

CoreShare own_cores() {
  const CoreGrant grant = granted_cores();
  return share_of_cores({&grant, 1}, 0);
}

}  // namespace hashep
