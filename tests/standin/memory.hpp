// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "tests/standin/shared_block.hpp"

namespace hashep::test::standin {

/// Where a range of memory lies; `broken`: in part inside of an allocation.
enum class Place { gpu, pinned, pageable, broken };

/// What the GPU can reach. Each allocation is one of the host's heap, or a block that other
/// processes can map, so that AddressSanitizer sees every byte touched beside it or after its end,
/// and full of 0xff (NaNs) at first.
class Memory {
 public:
  static constexpr int64_t kGpuBytes = int64_t{8} << 30;  // what the GPU has
  /// An allocation of whole blocks of this size can be mapped. Any other may have neighbours in its
  /// last block, and to map it would be to map them too.
  static constexpr int64_t kBlockBytes = int64_t{2} << 20;

  /// Place::gpu or Place::pinned, aligned to 256 bytes; null where the GPU has not so much left.
  std::byte* allocate(int64_t bytes, Place place);
  /// False where `data` is not the beginning of an allocation of this kind.
  bool free(void* data, Place place);

  /// Of the allocation of a GPU that begins at `data`; null where it cannot be mapped.
  const SharedBlock::Name* name(const void* data) const;
  /// Another process's allocation as memory of the GPU; the same again where it is open. Null where
  /// it cannot be had.
  std::byte* open(const SharedBlock::Name& name);
  /// Takes back one `open`. False where `data` comes from none.
  bool close(void* data);
  int64_t open_count() const;
  /// How often it is open; 0 where it is not another process's.
  int64_t times_open(const void* data) const;
  /// Bytes of the allocation that begins at `data`; 0 where none does.
  int64_t bytes_of(const void* data) const;
  /// Allocations that were freed while another process had them mapped.
  int64_t freed_while_mapped() const { return freed_while_mapped_; }

  Place place(const void* data, int64_t bytes) const;
  bool is_gpu(const void* data, int64_t bytes) const { return place(data, bytes) == Place::gpu; }
  int64_t allocated(Place place) const;  // bytes

 private:
  struct Delete {
    void operator()(std::byte* data) const;
  };
  struct Block {
    std::unique_ptr<std::byte, Delete> data;  // of the heap, or
    std::unique_ptr<SharedBlock> shared;
    int64_t bytes = 0;
    Place place = Place::gpu;
    int64_t opened = 0;  // so many times, another process's
  };
  std::map<uintptr_t, Block> blocks_;  // by address
  int64_t freed_while_mapped_ = 0;
};

}  // namespace hashep::test::standin
