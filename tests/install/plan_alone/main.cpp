// SPDX-License-Identifier: Apache-2.0
// Plans the exchange of two tokens between two ranks.
#include <cstdint>
#include <iostream>
#include <vector>

#include "hashep/exchange_plan.hpp"

int main() {
  const std::vector<int32_t> experts{0, 3};  // top-1
  // Of both ranks; the second has none.
  const std::vector<hashep::CountWord> counts{1, 0, 0, 1, 0, 0, 0, 0};
  const auto plan = hashep::make_plan(experts, 1, counts, hashep::contiguous_placement(4, 2), 0);
  std::cout << plan << '\n';
  return plan.total_send() == 2 && plan.total_recv() == 1 ? 0 : 1;
}
