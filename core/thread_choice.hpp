// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/granted_cores.hpp"

namespace hashep {

/// How many threads a rank computes with, and what says so.
struct ThreadChoice {
  int threads = 1;
  std::string why;  // "2 cores shared by 2 ranks", "OMP_NUM_THREADS", or who asked
};

/// Tells an environment variable; null where it is not set.
using Environment = std::function<const char*(const char* name)>;

/// The one rule for it: `asked`, by what `asked_by` names, where it is not 0; else OMP_NUM_THREADS,
/// the first number of its list; else the cores of `share`, but no more than SLURM_CPUS_PER_TASK. A
/// variable that holds no such number says nothing. `asked` is an int. Local.
ThreadChoice choose_threads(int64_t asked, const std::string& asked_by, const CoreShare& share,
                            const Environment& environment);
/// With the environment of this process.
ThreadChoice choose_threads(int64_t asked, const std::string& asked_by, const CoreShare& share);

}  // namespace hashep
