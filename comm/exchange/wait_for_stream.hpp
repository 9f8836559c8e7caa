// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/watch.hpp"
#include "core/cuda/stream.hpp"

namespace hashep {

/// Waits, under the Watch, until `stream` has done what it was asked for; `check()` throws where it
/// never will.
template <typename Check>
void wait_for_stream(DeviceStream stream, Watch& watch, Check&& check) {
  constexpr int kSpins = 4096;  // polls of the GPU before the core is yielded between them
  const CudaEvent asked;
  asked.record(stream);
  const auto is_done = [&] {
    check();
    return asked.is_done();
  };
  watch.wait_until(kSpins, is_done, [] { return " for the GPU"; });
}

}  // namespace hashep
