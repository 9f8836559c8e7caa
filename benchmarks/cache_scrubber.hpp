// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/buffer.hpp"

namespace hashep::bench {

/// Makes what is timed find cold caches: otherwise what happens to run after its like finds its
/// rows there.
class CacheScrubber {
 public:
  /// Fills the last-level cache with other lines, none of them to be written back.
  void run();

 private:
  Buffer lines_;  // of the size of the last-level cache
};

}  // namespace hashep::bench
