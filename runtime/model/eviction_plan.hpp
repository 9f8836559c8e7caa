// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace hashep {

/// Which slot of a cache each use of an item has, by Belady's rule: where an item is loaded into a
/// full cache, the one goes whose next use is the furthest ("A study of replacement algorithms for
/// a virtual-storage computer", 1966); of those with no known use, the one that was used longest
/// ago. Where all uses are known, no rule loads less. Uses are decided in their order, with what is
/// known then of those to come.
class EvictionPlan {
 public:
  struct Use {
    int64_t item = 0;
    int slot = 0;
    bool is_load = false;     // the item is to be brought into its slot
    int64_t free_after = -1;  // by which use the slot's content was used last; -1: by none
  };

  EvictionPlan(int slots, int64_t num_items);

  /// One more use becomes known.
  void add(int64_t item);
  /// Uses that are known and not decided.
  int64_t undecided() const { return std::ssize(future_); }
  /// Decides the next one; uses are numbered from 0.
  Use decide();

  /// Forgets undecided uses, and what slots hold; slot i then holds items[i], -1: nothing, and the
  /// next use has number next_use.
  void restart(std::span<const int64_t> items, int64_t next_use);

 private:
  struct Slot {
    int64_t item = -1;
    int64_t last_use = -1;
  };

  int victim() const;

  std::vector<Slot> slots_;
  std::vector<int> slot_of_;               // by item; -1: in none
  std::vector<std::deque<int64_t>> uses_;  // by item: numbers of those to come
  std::deque<int64_t> future_;             // items
  int64_t decided_ = 0;
};

/// Loads of a sequence of uses with so many slots: the least possible, and with the item that was
/// used longest ago going first (LRU).
int64_t least_loads(std::span<const int32_t> uses, int slots, int64_t num_items);
int64_t lru_loads(std::span<const int32_t> uses, int slots, int64_t num_items);

}  // namespace hashep
