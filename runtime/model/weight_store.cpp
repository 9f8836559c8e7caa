// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/weight_store.hpp"

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <system_error>
#include <tuple>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr int64_t kBlock = InputFile::kDirectAlignment;

int64_t block_begin(int64_t byte) {
  return byte / kBlock * kBlock;
}

int64_t block_end(int64_t byte) {
  return (byte + kBlock - 1) / kBlock * kBlock;
}

/// Indices of parts in the order of files and places in them.
std::vector<size_t> in_order(std::span<const FileRange> parts) {
  std::vector<size_t> order(parts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t a, size_t b) {
    return std::tie(parts[a].path, parts[a].offset) < std::tie(parts[b].path, parts[b].offset);
  });
  return order;
}

/// A stretch of a file in whole blocks, and the parts in it.
struct Blocks {
  int64_t begin = 0;
  int64_t end = 0;
  std::vector<size_t> parts;
};

/// Parts whose blocks touch are in one stretch.
std::vector<Blocks> blocks_of(std::span<const FileRange> parts) {
  std::vector<Blocks> stretches;
  for (const size_t i : in_order(parts)) {
    const int64_t begin = block_begin(parts[i].offset);
    const int64_t end = block_end(parts[i].offset + parts[i].bytes);
    const bool touches = !stretches.empty() && begin <= stretches.back().end &&
                         parts[stretches.back().parts.front()].path == parts[i].path;
    if (!touches) stretches.push_back({begin, end, {}});
    stretches.back().end = std::max(stretches.back().end, end);
    stretches.back().parts.push_back(i);
  }
  return stretches;
}

}  // namespace

WeightStore::WeightStore(std::vector<std::vector<FileRange>> items, const Options& options,
                         Unpack unpack)
    : options_(options),
      unpack_(std::move(unpack)),
      items_(items.size()),
      plan_(options.slots, std::ssize(items)),
      load_of_place_(options.slots, 0),
      begun_of_place_(options.slots, 0),
      held_(options.slots, -1),
      loaded_(1),
      buffers_(options.buffers),
      readings_(options.buffers),
      under_way_(options.queue_depth) {
  for (size_t i = 0; i < items.size(); ++i) {
    make_item(items[i], items_[i]);
    buffer_size_ = std::max(buffer_size_, items_[i].bytes);
  }
  for (int buffer = 0; buffer < options.buffers; ++buffer) {
    buffers_[buffer].reserve(buffer_size_ + kBlock);
    free_buffers_.push_back(buffer);
  }
  for (int slot = options.slots + options.spare; slot-- > 0;) free_slots_.push_back(slot);
  for (int tag = options.queue_depth; tag-- > 0;) free_tags_.push_back(static_cast<uint64_t>(tag));
  queue_ = options.make_queue(options.queue_depth);
  thread_ = std::thread([this] { work(); });
}

WeightStore::~WeightStore() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

int64_t WeightStore::buffer_bytes_for(std::span<const FileRange> parts) {
  int64_t bytes = 0;
  for (const Blocks& each : blocks_of(parts)) bytes += each.end - each.begin;
  return bytes;
}

void WeightStore::make_item(std::span<const FileRange> parts, Item& item) {
  item.parts.resize(parts.size());
  for (const Blocks& each : blocks_of(parts)) {
    const std::string& path = parts[each.parts.front()].path;
    const auto file =
        std::ranges::find_if(files_, [&](const InputFile& open) { return open.path() == path; });
    const auto index = static_cast<size_t>(file - files_.begin());
    if (index == files_.size()) files_.emplace_back(path, InputFile::Cache::none);
    for (const size_t part : each.parts) {
      item.parts[part] = item.bytes + parts[part].offset - each.begin;
    }
    item.stretches.push_back({index, each.begin, each.end - each.begin, item.bytes});
    item.bytes += each.end - each.begin;
  }
}

void WeightStore::announce(std::span<const int64_t> items) {
  {
    const std::lock_guard lock(mutex_);
    for (const int64_t item : items) plan_.add(item);
    batch_sizes_.push_back(std::ssize(items));
    while (std::ssize(batch_sizes_) > options_.lookahead) decide_batch();
  }
  changed_.notify_all();
}

void WeightStore::decide_batch() {
  const int64_t count = batch_sizes_.front();
  batch_sizes_.pop_front();
  for (int64_t i = 0; i < count; ++i) {
    const EvictionPlan::Use use = plan_.decide();
    if (use.is_load) {
      load_of_place_[use.slot] = std::ssize(loaded_);
      loads_.push_back({use.item, use.slot, std::ssize(loaded_), use.free_after});
      loaded_.emplace_back();
    }
    uses_.push_back({use.item, load_of_place_[use.slot]});
  }
}

void WeightStore::restart() {
  std::unique_lock lock(mutex_);
  loads_.clear();
  changed_.wait(lock, [&] { return readings_under_way_ == 0 || failure_; });
  require_no_failure();
  if (released_ != acquired_) throw RunError("weight store: restarted while slots are in use");
  uses_.clear();
  batch_sizes_.clear();
  for (; !freed_.empty(); freed_.pop()) free_slots_.push_back(freed_.top().slot);
  load_of_place_ = begun_of_place_;
  plan_.restart(held_, acquired_);
}

int WeightStore::acquire(int64_t item) {
  std::unique_lock lock(mutex_);
  while (uses_.empty() && !batch_sizes_.empty()) {
    decide_batch();
    changed_.notify_all();
  }
  require_no_failure();
  if (uses_.empty() || uses_.front().item != item) {
    throw RunError("weight store: item " + std::to_string(item) + " is not the next one announced");
  }
  const UseOf use = uses_.front();
  const auto begin = Clock::now();
  last_result_ = std::max(last_result_, begin);
  while (!is_loaded(use)) {
    require_no_failure();
    const auto until =
        last_result_ + std::chrono::duration_cast<Clock::duration>(options_.deadline);
    if (changed_.wait_until(lock, until) == std::cv_status::timeout && Clock::now() >= until &&
        last_result_ + options_.deadline <= Clock::now() && !is_loaded(use)) {
      throw RunError("weights: no read has come to its end for " +
                     std::to_string(static_cast<int64_t>(options_.deadline.count())) + " s");
    }
  }
  stats_.wait_s += std::chrono::duration<double>(Clock::now() - begin).count();
  uses_.pop_front();
  ++acquired_;
  if (std::ssize(history_) < kMostHistory) {
    history_.push_back(static_cast<int32_t>(item));
    loads_of_history_ = stats_.loads;
  }
  return loaded_[use.load].slot;
}

bool WeightStore::is_ready() {
  const std::lock_guard lock(mutex_);
  return !failure_ && !uses_.empty() && is_loaded(uses_.front());
}

void WeightStore::release(int64_t count) {
  {
    const std::lock_guard lock(mutex_);
    released_ += count;
    for (; !freed_.empty() && freed_.top().after < released_; freed_.pop()) {
      free_slots_.push_back(freed_.top().slot);
    }
  }
  changed_.notify_all();
}

StoreStats WeightStore::stats() const {
  const std::lock_guard lock(mutex_);
  StoreStats stats = stats_;
  stats.uses = acquired_;
  const bool is_full = std::ssize(history_) == kMostHistory;
  const int64_t later = is_full ? stats_.loads - loads_of_history_ : 0;
  stats.least_loads = later + least_loads(history_, options_.slots, std::ssize(items_));
  stats.lru_loads = later + lru_loads(history_, options_.slots, std::ssize(items_));
  return stats;
}

std::string WeightStore::how() const {
  const bool are_direct =
      std::ranges::all_of(files_, [](const InputFile& file) { return file.is_direct(); });
  return std::string(are_direct ? "direct reads" : "reads through the system's cache") + " by " +
         std::string(queue_->name());
}

void WeightStore::require_no_failure() const {
  if (failure_) std::rethrow_exception(failure_);
}

void WeightStore::work() {
  std::unique_lock lock(mutex_);
  try {
    load_all(lock);
    return;
  } catch (const InputError& error) {
    if (!lock.owns_lock()) lock.lock();
    failure_ = std::make_exception_ptr(RunError(error.what()));  // it was well when the job began
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    failure_ = std::current_exception();
  }
  changed_.notify_all();
}

void WeightStore::load_all(std::unique_lock<std::mutex>& lock) {
  while (true) {
    while (may_begin()) {
      const Load load = loads_.front();
      loads_.pop_front();
      begin(load);
    }
    if (readings_under_way_ == 0) {
      if (ends_) return;
      changed_.wait(lock, [this] { return ends_ || may_begin(); });
      continue;
    }
    lock.unlock();
    submit_some();
    const int done = take(queue_->wait());
    lock.lock();
    last_result_ = Clock::now();
    if (done >= 0) finish(done, lock);
  }
}

bool WeightStore::may_begin() const {
  return !ends_ && !loads_.empty() && !free_buffers_.empty() &&
         (!free_slots_.empty() || has_own_slot(loads_.front()));
}

/// Whether the slot that a load frees is free already.
bool WeightStore::has_own_slot(const Load& load) const {
  return begun_of_place_[load.place] > 0 && load.free_after < released_;
}

std::byte* WeightStore::memory(int buffer) {
  std::byte* const first = buffers_[buffer].data();
  const auto past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(first) % kBlock);
  return past == 0 ? first : first + kBlock - past;
}

void WeightStore::begin(const Load& load) {
  const int buffer = free_buffers_.back();
  free_buffers_.pop_back();
  const int before = loaded_[begun_of_place_[load.place]].slot;
  int& slot = loaded_[load.number].slot;
  if (has_own_slot(load)) {
    slot = before;
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
    if (before >= 0) freed_.push({load.free_after, before});
  }
  begun_of_place_[load.place] = load.number;
  held_[load.place] = load.item;
  Reading& reading = readings_[buffer];
  reading = {load, 0};
  for (const Stretch& stretch : items_[load.item].stretches) {
    const InputFile& file = files_[stretch.file];
    for (int64_t at = 0; at < stretch.bytes; at += kReadBytes) {
      const int64_t bytes = std::min(kReadBytes, stretch.bytes - at);
      const int64_t offset = stretch.offset + at;
      waiting_.push_back(
          {{file.descriptor(), offset, memory(buffer) + stretch.place + at, bytes, 0},
           buffer,
           stretch.file,
           std::min(bytes, file.size() - offset)});
      ++reading.left;
    }
  }
  ++readings_under_way_;
}

void WeightStore::submit_some() {
  while (!waiting_.empty() && !free_tags_.empty()) {
    const uint64_t tag = free_tags_.back();
    free_tags_.pop_back();
    under_way_[tag] = waiting_.front();
    waiting_.pop_front();
    under_way_[tag].request.tag = tag;
    queue_->submit(under_way_[tag].request);
  }
}

int WeightStore::take(const ReadResult& result) {
  Read read = under_way_[result.tag];
  free_tags_.push_back(result.tag);
  const InputFile& file = files_[read.file];
  const bool is_for_now = result.error == EINTR || result.error == EAGAIN;
  if (result.error != 0 && !is_for_now) {
    throw RunError(file.path() + ": cannot read: " + std::generic_category().message(result.error));
  }
  if (result.error == 0 && result.bytes >= read.needed) {
    return --readings_[read.buffer].left == 0 ? read.buffer : -1;
  }
  if (result.error == 0 && result.bytes == 0) {
    throw RunError(file.path() + ": cannot read: it ends at byte " +
                   std::to_string(read.request.offset) + ", but had " +
                   std::to_string(file.size()) + " bytes when it was opened");
  }
  // The rest once more, from the beginning of a block.
  const int64_t done = block_begin(result.bytes);
  constexpr int kMostAttempts = 100;  // that bring nothing
  read.attempts = done > 0 ? 0 : read.attempts + 1;
  if (read.attempts == kMostAttempts) {
    throw RunError(file.path() + ": cannot read: reads bring nothing at byte " +
                   std::to_string(read.request.offset));
  }
  read.request.offset += done;
  read.request.to += done;
  read.request.bytes -= done;
  read.needed -= done;
  waiting_.push_front(read);
  return -1;
}

void WeightStore::finish(int buffer, std::unique_lock<std::mutex>& lock) {
  const Load load = readings_[buffer].load;
  const Item& item = items_[load.item];
  const int slot = loaded_[load.number].slot;
  lock.unlock();
  const auto begin = Clock::now();
  for (const Stretch& stretch : item.stretches) files_[stretch.file].require_unchanged();
  std::vector<const std::byte*> parts;
  for (const int64_t place : item.parts) parts.push_back(memory(buffer) + place);
  unpack_(load.item, slot, parts);
  const std::chrono::duration<double> took = Clock::now() - begin;
  lock.lock();
  stats_.unpack_s += took.count();
  stats_.loads += 1;
  stats_.bytes_read += item.bytes;
  free_buffers_.push_back(buffer);
  loaded_[load.number].is_done = true;
  --readings_under_way_;
  changed_.notify_all();
}

}  // namespace hashep
