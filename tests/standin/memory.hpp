// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

namespace hashep::test::standin {

/// Where a range of memory lies; `broken`: in part inside of an allocation.
enum class Place { gpu, pinned, pageable, broken };

/// What the GPU can reach. Each allocation is one of the host's heap, so that AddressSanitizer sees
/// every byte touched beside it or after its end, and full of 0xff (NaNs) at first.
class Memory {
 public:
  static constexpr int64_t kGpuBytes = int64_t{8} << 30;  // what the GPU has

  /// Place::gpu or Place::pinned, aligned to 256 bytes; null where the GPU has not so much left.
  std::byte* allocate(int64_t bytes, Place place);
  /// False where `data` is not the beginning of an allocation of this kind.
  bool free(void* data, Place place);
  void free_all() { blocks_.clear(); }

  Place place(const void* data, int64_t bytes) const;
  bool is_gpu(const void* data, int64_t bytes) const { return place(data, bytes) == Place::gpu; }
  int64_t allocated(Place place) const;  // bytes

 private:
  struct Delete {
    void operator()(std::byte* data) const;
  };
  struct Block {
    std::unique_ptr<std::byte, Delete> data;
    int64_t bytes = 0;
    Place place = Place::gpu;
  };
  std::map<uintptr_t, Block> blocks_;  // by address
};

}  // namespace hashep::test::standin
