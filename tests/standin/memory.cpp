// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/memory.hpp"

#include <cstring>
#include <iterator>
#include <new>

namespace hashep::test::standin {
namespace {

constexpr std::align_val_t kAlignment{256};  // cudaMalloc's

}  // namespace

void Memory::Delete::operator()(std::byte* data) const {
  ::operator delete(data, kAlignment);
}

std::byte* Memory::allocate(int64_t bytes, Place place) {
  if (bytes > kGpuBytes - allocated(place)) return nullptr;
  const auto size = static_cast<size_t>(bytes);
  auto* data = static_cast<std::byte*>(::operator new(size, kAlignment));
  std::memset(data, 0xff, size);
  blocks_[reinterpret_cast<uintptr_t>(data)] = {std::unique_ptr<std::byte, Delete>(data), bytes,
                                                place};
  return data;
}

bool Memory::free(void* data, Place place) {
  const auto found = blocks_.find(reinterpret_cast<uintptr_t>(data));
  if (found == blocks_.end() || found->second.place != place) return false;
  blocks_.erase(found);
  return true;
}

Place Memory::place(const void* data, int64_t bytes) const {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t end = begin + static_cast<uintptr_t>(bytes);
  const auto after = blocks_.upper_bound(begin);
  if (after != blocks_.begin()) {
    const auto& [address, block] = *std::prev(after);
    const uintptr_t block_end = address + static_cast<uintptr_t>(block.bytes);
    if (begin < block_end) return end <= block_end ? block.place : Place::broken;
  }
  return after != blocks_.end() && after->first < end ? Place::broken : Place::pageable;
}

int64_t Memory::allocated(Place place) const {
  int64_t sum = 0;
  for (const auto& [address, block] : blocks_) {
    if (block.place == place) sum += block.bytes;
  }
  return sum;
}

}  // namespace hashep::test::standin
