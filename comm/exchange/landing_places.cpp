// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/landing_places.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hashep/split.hpp"

namespace hashep {

void keep_part(const ExchangePlan& plan, int num_parts, int part,
               std::span<const ExpertPlace> places, std::span<ExpertPlace> of_part) {
  std::vector<int64_t> owned(plan.ep_size);
  for (const int32_t owner : plan.expert_ranks) ++owned[owner];
  std::vector<int64_t> index(owned.size());
  for (size_t expert = 0; expert < of_part.size(); ++expert) {
    const auto owner = static_cast<size_t>(plan.expert_ranks[expert]);
    const Range range = split_range(owned[owner], num_parts, part);
    const int64_t here = index[owner]++;
    of_part[expert] = here >= range.begin && here < range.end ? places[expert] : ExpertPlace{};
  }
}

}  // namespace hashep
