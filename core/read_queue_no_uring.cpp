// SPDX-License-Identifier: Apache-2.0
#include "core/read_queue.hpp"

namespace hashep {

std::unique_ptr<ReadQueue> make_uring_read_queue(int) {
  return nullptr;
}

}  // namespace hashep
