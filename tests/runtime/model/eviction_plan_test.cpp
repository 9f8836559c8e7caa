// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/eviction_plan.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

using Held = std::set<int32_t>;

/// The least loads by trying what may go, all of it, use by use.
int64_t least_by_search(const std::vector<int32_t>& uses, size_t slots) {
  std::map<Held, int64_t> reached = {{{}, 0}};
  for (const int32_t item : uses) {
    std::map<Held, int64_t> next;
    const auto reach = [&](const Held& held, int64_t loads) {
      const auto [place, is_new] = next.emplace(held, loads);
      if (!is_new) place->second = std::min(place->second, loads);
    };
    for (const auto& [held, loads] : reached) {
      if (held.contains(item)) {
        reach(held, loads);
        continue;
      }
      Held with = held;
      with.insert(item);
      if (held.size() < slots) reach(with, loads + 1);
      for (const int32_t goes : held) {
        if (held.size() < slots) break;
        Held without = with;
        without.erase(goes);
        reach(without, loads + 1);
      }
    }
    reached = std::move(next);
  }
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& [held, loads] : reached) least = std::min(least, loads);
  return least;
}

std::vector<int32_t> random_uses(std::mt19937& random, size_t count, int32_t items) {
  std::vector<int32_t> uses(count);
  for (int32_t& use : uses) use = static_cast<int32_t>(random() % static_cast<unsigned>(items));
  return uses;
}

}  // namespace

TEST_CASE("with all uses known nothing loads less") {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    const auto items = static_cast<int32_t>(2 + random() % 5);
    const auto slots = static_cast<int>(1 + random() % 4);
    const std::vector<int32_t> uses = random_uses(random, 12, items);
    CHECK(least_loads(uses, slots, items) == least_by_search(uses, static_cast<size_t>(slots)));
    CHECK(lru_loads(uses, slots, items) >= least_loads(uses, slots, items));
  }
}

TEST_CASE("LRU as it is known") {
  const std::vector<int32_t> uses = {0, 1, 2, 0, 3, 0, 1, 2};
  CHECK(lru_loads(uses, 3, 4) == 6);  // 0 1 2, 3 for 1, 1 for 2, 2 for 3
  CHECK(lru_loads(uses, 4, 4) == 4);
  CHECK(least_loads(uses, 3, 4) == 5);
}

TEST_CASE("slots hold what plans say, and say after which use they are free") {
  std::mt19937 random(2);
  constexpr int kItems = 9;
  constexpr int kSlots = 4;
  EvictionPlan plan(kSlots, kItems);
  std::array<int64_t, kSlots> held;
  std::array<int64_t, kSlots> last_use;
  held.fill(-1);
  last_use.fill(-1);
  int64_t number = 0;
  for (int round = 0; round < 200; ++round) {
    for (unsigned i = 0; i < 1 + random() % 6; ++i) plan.add(random() % kItems);
    // Some stay undecided, and a later round knows more of what is to come.
    while (plan.undecided() > 3) {
      const EvictionPlan::Use use = plan.decide();
      if (use.is_load) {
        CHECK(std::ranges::count(held, use.item) == 0);
        CHECK(use.free_after == last_use[use.slot]);
        held[use.slot] = use.item;
      }
      CHECK(held[use.slot] == use.item);
      last_use[use.slot] = number++;
    }
    if (round % 50 != 49) continue;
    held[1] = -1;  // its load was given up
    plan.restart(held, number);
    last_use.fill(number - 1);
    CHECK(plan.undecided() == 0);
  }
}
