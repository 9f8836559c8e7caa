// SPDX-License-Identifier: Apache-2.0
#include "launch/cores.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace hashep {

int default_threads(int ranks_on_node) {
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  int bound = static_cast<int>(std::max(1L, online));
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) bound = CPU_COUNT(&mask);
  const int share = static_cast<int>(std::max(1L, online)) / std::max(1, ranks_on_node);
  return std::max(1, std::min(share, bound));
}

long long peak_rss_bytes() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<long long>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

}  // namespace hashep
