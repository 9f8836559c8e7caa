// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/group_routing.hpp"

#include <set>

#include "tests/support/catch.hpp"

using namespace hashep::bench;

TEST_CASE("tokens take distinct experts of so many groups at most, wherever a batch is cut") {
  const GroupRouting routing{.num_experts = 32, .top_k = 6, .num_groups = 8, .top_groups = 3};
  std::vector<int32_t> experts(100 * 6);
  route_by_groups(routing, 0, experts);
  std::vector<int> loads(32);
  for (size_t token = 0; token < 100; ++token) {
    std::set<int32_t> chosen;
    std::set<int32_t> groups;
    for (size_t choice = 0; choice < 6; ++choice) {
      const int32_t expert = experts[token * 6 + choice];
      chosen.insert(expert);
      groups.insert(expert / 4);
      ++loads.at(expert);
    }
    CHECK(chosen.size() == 6);
    CHECK(groups.size() <= 3);
  }
  for (const int load : loads) CHECK(load > 0);
  std::vector<int32_t> part(10 * 6);
  route_by_groups(routing, 40, part);
  CHECK(std::equal(part.begin(), part.end(), experts.begin() + 40 * 6));
}
