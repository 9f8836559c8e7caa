// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "benchmarks/workloads/workload_rules.hpp"

namespace hashep::test {

/// XXH64 (seed 0) over little-endian int32: the ids of all ranks in steps 0 to 4, and the tables of
/// layers 0 and 1, each after the one before.
struct WorkloadKnownAnswer {
  bench::WorkloadShape shape;
  uint64_t ids = 0;
  uint64_t tables = 0;
};

/// Printed by tests/reference/workloads_reference.py.
inline std::vector<WorkloadKnownAnswer> workload_known_answers() {
  using bench::WorkloadKind;
  return {
      {{WorkloadKind::balanced, 1, 50, 8, 1, 1u}, 13860862684134104842u, 6391587906674368475u},
      {{WorkloadKind::balanced, 3, 37, 10, 2, 1u}, 2579924329165028334u, 2302475861702303949u},
      {{WorkloadKind::balanced, 4, 16, 5, 2, 18446744073709551615u},
       5859485873372408151u,
       15721317702787682607u},
      {{WorkloadKind::balanced, 2, 64, 16, 6, 7u}, 11525665590399931974u, 16209832740457742475u},
      {{WorkloadKind::hot_experts, 1, 50, 8, 1, 1u}, 8925803349136512530u, 12249736028688387794u},
      {{WorkloadKind::hot_experts, 3, 37, 10, 2, 1u}, 10960663901354962929u, 3653946101926572637u},
      {{WorkloadKind::hot_experts, 4, 16, 5, 2, 18446744073709551615u},
       4008367767376153454u,
       14971970833410095898u},
      {{WorkloadKind::hot_experts, 2, 64, 16, 6, 7u}, 11157540564973277108u, 9645617822075342367u},
      {{WorkloadKind::hot_rank, 1, 50, 8, 1, 1u}, 2285890355027587541u, 13256543217006123942u},
      {{WorkloadKind::hot_rank, 3, 37, 10, 2, 1u}, 8038505894183725494u, 7284438239481071303u},
      {{WorkloadKind::hot_rank, 4, 16, 5, 2, 18446744073709551615u},
       2751550565350799475u,
       8476438978786670851u},
      {{WorkloadKind::hot_rank, 2, 64, 16, 6, 7u}, 8125096179519437540u, 10804671953812793803u},
      {{WorkloadKind::ragged_source, 1, 50, 8, 1, 1u}, 13860862684134104842u, 6391587906674368475u},
      {{WorkloadKind::ragged_source, 3, 37, 10, 2, 1u},
       18222569570716373402u,
       2302475861702303949u},
      {{WorkloadKind::ragged_source, 4, 16, 5, 2, 18446744073709551615u},
       14297634718830640627u,
       15721317702787682607u},
      {{WorkloadKind::ragged_source, 2, 64, 16, 6, 7u},
       2604218375205496798u,
       16209832740457742475u},
      {{WorkloadKind::zero_load, 1, 50, 8, 1, 1u}, 13860862684134104842u, 6391587906674368475u},
      {{WorkloadKind::zero_load, 3, 37, 10, 2, 1u}, 16553557642008787918u, 10685144408690677900u},
      {{WorkloadKind::zero_load, 4, 16, 5, 2, 18446744073709551615u},
       13417773281745542287u,
       12877936233139492787u},
      {{WorkloadKind::zero_load, 2, 64, 16, 6, 7u}, 18427256458441303947u, 7748361442891295058u},
      {{WorkloadKind::rotating, 1, 50, 8, 1, 1u}, 948850769412298262u, 6391587906674368475u},
      {{WorkloadKind::rotating, 3, 37, 10, 2, 1u}, 11666734210240483845u, 2302475861702303949u},
      {{WorkloadKind::rotating, 4, 16, 5, 2, 18446744073709551615u},
       2793547319250656725u,
       15721317702787682607u},
      {{WorkloadKind::rotating, 2, 64, 16, 6, 7u}, 6186189291845786005u, 16209832740457742475u},
      {{WorkloadKind::burst, 1, 50, 8, 1, 1u}, 3409311722074494018u, 6391587906674368475u},
      {{WorkloadKind::burst, 3, 37, 10, 2, 1u}, 915522918389697946u, 2302475861702303949u},
      {{WorkloadKind::burst, 4, 16, 5, 2, 18446744073709551615u},
       16847748619308317365u,
       15721317702787682607u},
      {{WorkloadKind::burst, 2, 64, 16, 6, 7u}, 12939635384184600872u, 16209832740457742475u},
  };
}

}  // namespace hashep::test
