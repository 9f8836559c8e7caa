// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/eviction_plan.hpp"

#include <algorithm>
#include <limits>
#include <list>

#include "hashep/error.hpp"

namespace hashep {

EvictionPlan::EvictionPlan(int slots, int64_t num_items)
    : slots_(slots), slot_of_(num_items, -1), uses_(num_items) {}

void EvictionPlan::add(int64_t item) {
  uses_[item].push_back(decided_ + std::ssize(future_));
  future_.push_back(item);
}

EvictionPlan::Use EvictionPlan::decide() {
  if (future_.empty()) throw RunError("eviction plan: no use is known");
  Use use;
  use.item = future_.front();
  future_.pop_front();
  uses_[use.item].pop_front();
  use.slot = slot_of_[use.item];
  use.is_load = use.slot < 0;
  if (use.is_load) {
    use.slot = victim();
    Slot& slot = slots_[use.slot];
    use.free_after = slot.last_use;
    if (slot.item >= 0) slot_of_[slot.item] = -1;
    slot.item = use.item;
    slot_of_[use.item] = use.slot;
  }
  slots_[use.slot].last_use = decided_++;
  return use;
}

int EvictionPlan::victim() const {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  int best = 0;
  int64_t best_next = -1;
  for (int i = 0; i < std::ssize(slots_); ++i) {
    const Slot& slot = slots_[i];
    if (slot.item < 0) return i;
    const auto& uses = uses_[slot.item];
    const int64_t next = uses.empty() ? kNever : uses.front();
    if (next > best_next || (next == best_next && slot.last_use < slots_[best].last_use)) {
      best = i;
      best_next = next;
    }
  }
  return best;
}

void EvictionPlan::restart(std::span<const int64_t> items, int64_t next_use) {
  decided_ = next_use;
  future_.clear();
  for (auto& uses : uses_) uses.clear();
  std::ranges::fill(slot_of_, -1);
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i] = {items[i], decided_ - 1};
    if (items[i] >= 0) slot_of_[items[i]] = static_cast<int>(i);
  }
}

int64_t least_loads(std::span<const int32_t> uses, int slots, int64_t num_items) {
  EvictionPlan plan(slots, num_items);
  for (const int32_t item : uses) plan.add(item);
  int64_t loads = 0;
  while (plan.undecided() > 0) loads += plan.decide().is_load ? 1 : 0;
  return loads;
}

int64_t lru_loads(std::span<const int32_t> uses, int slots, int64_t num_items) {
  std::list<int32_t> order;  // used last, first
  std::vector<std::list<int32_t>::iterator> places(num_items, order.end());
  int64_t loads = 0;
  for (const int32_t item : uses) {
    if (places[item] != order.end()) {
      order.splice(order.begin(), order, places[item]);
      continue;
    }
    ++loads;
    if (std::ssize(order) == slots) {
      places[order.back()] = order.end();
      order.pop_back();
    }
    order.push_front(item);
    places[item] = order.begin();
  }
  return loads;
}

}  // namespace hashep
