// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep {

/// What a rank that reads experts when they are needed has held and read.
struct StreamingStats {
  int64_t slots = 0;  // experts that are held at once
  int64_t slot_bytes = 0;
  int64_t buffer_bytes = 0;  // that they are read into
  int64_t uses = 0;          // of an expert by a layer of a batch
  int64_t loads = 0;         // uses whose expert was not held
  int64_t bytes_read = 0;
  int64_t least_loads = 0;  // of as many slots, with all uses known from the beginning
  int64_t lru_loads = 0;    // with least recently used ones going first
  double wait_s = 0.0;      // that layers waited for experts
  double unpack_s = 0.0;
};

}  // namespace hashep
