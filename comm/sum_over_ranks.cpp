// SPDX-License-Identifier: Apache-2.0
#include "comm/sum_over_ranks.hpp"

#include <string>
#include <vector>

#include "comm/agreement.hpp"
#include "comm/gather.hpp"

namespace hashep {

void sum_over_ranks(const Communicator& comm, Watch& watch, FixedPointRows& sums) {
  const int64_t addends = reduce_sum(comm, watch, sums.addends());
  if (addends > FixedPointRows::kMostAddends) {
    throw CollectiveInputError("a sum of " + std::to_string(addends) +
                                   " addends: it has room for " +
                                   std::to_string(FixedPointRows::kMostAddends),
                               comm.rank() == 0);
  }
  std::vector<FixedPointRows::Level> levels(sums.levels().begin(), sums.levels().end());
  reduce_max(comm, watch, std::span(levels));
  sums.raise(levels);
  reduce_sum(comm, watch, sums.words());
}

}  // namespace hashep
