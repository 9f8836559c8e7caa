// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/input_file.hpp"
#include "core/read_queue.hpp"
#include "hashep/buffer.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/model/eviction_plan.hpp"

namespace hashep {

/// What a WeightStore has done.
struct StoreStats {
  int64_t uses = 0;
  int64_t loads = 0;       // of items that no slot held
  int64_t bytes_read = 0;  // of files, whole blocks of InputFile::kDirectAlignment
  double wait_s = 0.0;     // that `acquire` has waited for loads
  double unpack_s = 0.0;   // of the loading thread, in `unpack`
  // With as many slots: had all uses been known from the beginning, and with least recently used
  // ones going first. Of the first kMostHistory uses; later ones count as they were loaded.
  int64_t least_loads = 0;
  int64_t lru_loads = 0;
};

/// Brings items of files into slots of memory before they are used, by a thread of its own: which
/// item is used when is announced ahead, so that reads begin early, and Belady's rule decides which
/// item goes (EvictionPlan). An item's slot is overwritten when the last use that it was needed for
/// is released. That may be the use before the one that a load is for (where items come round and
/// round, Belady's rule has all that do not fit pass through one place), so there are `spare` slots
/// beside those that the rule knows: that many loads may come before the slots that they free.
///
/// Uses come in batches. A batch's are decided when `lookahead` further batches are announced, or
/// when they are reached.
class WeightStore {
 public:
  struct Options {
    int slots = 1;          // items that are held
    int spare = 0;          // slots more
    int buffers = 1;        // items that may be read at once, each into memory of its own
    int64_t lookahead = 0;  // batches
    int queue_depth = 16;   // reads under way, of up to kReadBytes each
    std::chrono::duration<double> deadline{60.0};  // without any read coming to its end
    std::function<std::unique_ptr<ReadQueue>(int depth)> make_queue = make_read_queue;
  };
  /// Puts an item that was read into a slot of [0, slots + spare): an address for each of its
  /// parts. Called by the store's thread; throws InputError where what was read is not well.
  using Unpack =
      std::function<void(int64_t item, int slot, std::span<const std::byte* const> parts)>;

  static constexpr int64_t kReadBytes = int64_t{1} << 20;
  static constexpr int64_t kMostHistory = int64_t{1} << 20;  // uses that are remembered

  /// items: what each is made of. Throws InputError where a file cannot be opened.
  WeightStore(std::vector<std::vector<FileRange>> items, const Options& options, Unpack unpack);
  /// Waits for reads that are under way.
  ~WeightStore();

  /// The uses of one more batch, in their order.
  void announce(std::span<const int64_t> items);
  /// Forgets all uses that were announced and not acquired; what slots hold stays. All that were
  /// acquired must be released.
  void restart();

  /// The slot of the next use, which must be of `item`, once it is loaded. Throws what has gone
  /// wrong: InputError or RunError of files and `unpack`.
  int acquire(int64_t item);
  /// Whether the next use is loaded, so that `acquire` would not wait.
  bool is_ready();
  /// The oldest uses that were acquired and not released, so many: their slots may be overwritten.
  void release(int64_t count);

  StoreStats stats() const;
  /// Bytes of memory that items are read into.
  int64_t buffer_bytes() const { return std::ssize(buffers_) * buffer_size_; }
  /// "direct reads by io_uring".
  std::string how() const;

  /// Bytes that a buffer takes for an item of these parts.
  static int64_t buffer_bytes_for(std::span<const FileRange> parts);

 private:
  using Clock = std::chrono::steady_clock;

  /// A stretch of a file, in whole blocks, that several parts may lie in.
  struct Stretch {
    size_t file = 0;
    int64_t offset = 0;
    int64_t bytes = 0;
    int64_t place = 0;  // in the buffer
  };
  struct Item {
    std::vector<Stretch> stretches;
    std::vector<int64_t> parts;  // where each begins in the buffer
    int64_t bytes = 0;           // of all stretches
  };
  struct Load {
    int64_t item = 0;
    int place = 0;           // the plan's slot
    int64_t number = 0;      // counted from 1
    int64_t free_after = 0;  // see EvictionPlan::Use
  };
  struct UseOf {
    int64_t item = 0;
    int64_t load = 0;  // number of the one that brings it
  };
  /// Where a load has put its item, or will.
  struct Loaded {
    int slot = -1;
    bool is_done = false;
  };
  /// A slot that is free once a use is released.
  struct Freed {
    int64_t after = 0;
    int slot = 0;
    bool operator>(const Freed& other) const { return after > other.after; }
  };
  /// A load that is under way, and its buffer.
  struct Reading {
    Load load;
    int64_t left = 0;  // reads
  };
  struct Read {
    ReadRequest request;
    int buffer = 0;
    size_t file = 0;
    int64_t needed = 0;  // bytes: fewer than asked for where the file ends in a block
    int attempts = 0;    // that brought nothing
  };

  void make_item(std::span<const FileRange> parts, Item& item);
  void decide_batch();
  bool is_loaded(const UseOf& use) const { return loaded_[use.load].is_done; }
  void require_no_failure() const;

  // Of the loading thread.
  void work();
  void load_all(std::unique_lock<std::mutex>& lock);
  bool may_begin() const;
  bool has_own_slot(const Load& load) const;
  void begin(const Load& load);
  void submit_some();
  /// The buffer whose last read it was; -1: of none.
  int take(const ReadResult& result);
  void finish(int buffer, std::unique_lock<std::mutex>& lock);
  std::byte* memory(int buffer);

  Options options_;
  Unpack unpack_;
  std::vector<InputFile> files_;
  std::vector<Item> items_;
  int64_t buffer_size_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  EvictionPlan plan_;
  std::deque<int64_t> batch_sizes_;  // of batches that were announced and not decided
  std::deque<UseOf> uses_;           // decided and not acquired
  std::deque<Load> loads_;           // decided and not begun
  std::vector<int64_t>
      load_of_place_;  // by the plan's slot: the last load that was decided; 0: none
  std::vector<int64_t> begun_of_place_;  // and the last one that was begun
  std::vector<int64_t> held_;            // and its item; -1: none
  std::vector<Loaded> loaded_;           // by number
  std::vector<int> free_slots_;
  std::priority_queue<Freed, std::vector<Freed>, std::greater<>> freed_;
  int readings_under_way_ = 0;
  int64_t acquired_ = 0;  // uses
  int64_t released_ = 0;
  std::exception_ptr failure_;
  bool ends_ = false;
  Clock::time_point last_result_ = Clock::now();
  StoreStats stats_;
  std::vector<int32_t> history_;  // items of the first uses that were acquired
  int64_t loads_of_history_ = 0;  // once it is full

  // Of the loading thread.
  std::vector<Buffer> buffers_;
  std::vector<Reading> readings_;  // by buffer
  std::vector<int> free_buffers_;
  std::deque<Read> waiting_;     // reads that the queue has no room for
  std::vector<Read> under_way_;  // by tag
  std::vector<uint64_t> free_tags_;
  std::unique_ptr<ReadQueue> queue_;  // goes before the buffers do
  std::thread thread_;
};

}  // namespace hashep
