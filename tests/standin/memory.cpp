// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/memory.hpp"

#include <cstring>
#include <iterator>
#include <new>
#include <utility>

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
  Block block;
  block.bytes = bytes;
  block.place = place;
  if (place == Place::gpu && bytes % kBlockBytes == 0) {
    block.shared = SharedBlock::make(bytes);
    if (block.shared == nullptr) return nullptr;
  } else {
    block.data.reset(static_cast<std::byte*>(::operator new(size, kAlignment)));
  }
  std::byte* data = block.shared != nullptr ? block.shared->data() : block.data.get();
  std::memset(data, 0xff, size);
  blocks_[reinterpret_cast<uintptr_t>(data)] = std::move(block);
  return data;
}

bool Memory::free(void* data, Place place) {
  const auto found = blocks_.find(reinterpret_cast<uintptr_t>(data));
  if (found == blocks_.end()) return false;
  const Block& block = found->second;
  if (block.place != place || block.opened > 0) return false;
  if (block.shared != nullptr && block.shared->mappings() > 0) {
    ++freed_while_mapped_;
    std::memset(data, 0xff, block.bytes);  // for who reads it there
  }
  blocks_.erase(found);
  return true;
}

const SharedBlock::Name* Memory::name(const void* data) const {
  const auto found = blocks_.find(reinterpret_cast<uintptr_t>(data));
  if (found == blocks_.end() || found->second.shared == nullptr || found->second.opened > 0) {
    return nullptr;
  }
  return &found->second.shared->name();
}

std::byte* Memory::open(const SharedBlock::Name& name) {
  for (auto& [address, block] : blocks_) {
    if (block.opened == 0) continue;
    const SharedBlock::Name& other = block.shared->name();
    if (other.process != name.process || other.inode != name.inode) continue;
    ++block.opened;
    return block.shared->data();
  }
  Block block;
  block.shared = SharedBlock::open(name);
  if (block.shared == nullptr) return nullptr;
  block.bytes = name.bytes;
  block.opened = 1;
  std::byte* data = block.shared->data();
  blocks_[reinterpret_cast<uintptr_t>(data)] = std::move(block);
  return data;
}

bool Memory::close(void* data) {
  const auto found = blocks_.find(reinterpret_cast<uintptr_t>(data));
  if (found == blocks_.end() || found->second.opened == 0) return false;
  if (--found->second.opened == 0) blocks_.erase(found);
  return true;
}

int64_t Memory::open_count() const {
  int64_t sum = 0;
  for (const auto& [address, block] : blocks_) sum += block.opened;
  return sum;
}

int64_t Memory::times_open(const void* data) const {
  const auto found = blocks_.find(reinterpret_cast<uintptr_t>(data));
  return found == blocks_.end() ? 0 : found->second.opened;
}

int64_t Memory::bytes_of(const void* data) const {
  const auto found = blocks_.find(reinterpret_cast<uintptr_t>(data));
  return found == blocks_.end() ? 0 : found->second.bytes;
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
    if (block.place == place && block.opened == 0) sum += block.bytes;
  }
  return sum;
}

}  // namespace hashep::test::standin
