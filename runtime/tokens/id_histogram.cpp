// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/id_histogram.hpp"

#include <algorithm>
#include <limits>

#include "hashep/error.hpp"
#include "hashep/token_batch.hpp"

namespace hashep {
namespace {

constexpr int64_t kMaxRecent = std::numeric_limits<uint32_t>::max();  // fits one 32-bit counter

}  // namespace

IdHistogram::IdHistogram(int64_t vocab_size)
    : num_slots_(static_cast<size_t>(vocab_size) + 2),
      recent_(kCopies * num_slots_),
      total_(num_slots_) {}

void IdHistogram::add(std::span<const int32_t> ids) {
  static_assert(kPaddingId == -1, "the slot of an id is id + 1");
  if (std::ssize(ids) > kMaxRecent) throw RunError("IdHistogram: 2^32 ids or more at once");
  if (num_recent_ > kMaxRecent - std::ssize(ids)) flush();
  num_recent_ += std::ssize(ids);

  const auto last = static_cast<uint32_t>(num_slots_ - 1);
  const auto slot_of = [last](int32_t id) {
    return std::min(static_cast<uint32_t>(id) + 1u, last);  // of -2 and below: last, unsigned
  };
  uint32_t* const histogram = recent_.data();
  size_t i = 0;
  for (; i + kCopies <= ids.size(); i += kCopies) {
    for (size_t copy = 0; copy < kCopies; ++copy) {
      ++histogram[copy * num_slots_ + slot_of(ids[i + copy])];
    }
  }
  for (; i < ids.size(); ++i) ++histogram[slot_of(ids[i])];
}

int64_t IdHistogram::sum_of(size_t slot) const {
  int64_t sum = total_[slot];
  for (size_t copy = 0; copy < kCopies; ++copy) sum += recent_[copy * num_slots_ + slot];
  return sum;
}

void IdHistogram::flush() {
  for (size_t slot = 0; slot < num_slots_; ++slot) total_[slot] = sum_of(slot);
  std::fill(recent_.begin(), recent_.end(), 0u);
  num_recent_ = 0;
}

std::vector<int64_t> IdHistogram::counts() const {
  std::vector<int64_t> result(num_slots_ - 2);
  for (size_t id = 0; id < result.size(); ++id) result[id] = sum_of(id + 1);
  return result;
}

}  // namespace hashep
