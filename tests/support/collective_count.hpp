// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace hashep::test {

/// Collective calls of MPI that this process has begun so far, by name, counted through MPI's
/// profiling interface. Only names that were called at least once are there.
std::map<std::string, int64_t> collective_counts();

}  // namespace hashep::test
