// SPDX-License-Identifier: Apache-2.0
#include "comm/keep_until_exit.hpp"

#include <mutex>
#include <utility>
#include <vector>

namespace hashep {

void keep_until_exit(std::shared_ptr<void> kept) {
  static std::mutex mutex;
  static auto* const all = new std::vector<std::shared_ptr<void>>;  // outlives MPI
  const std::lock_guard lock(mutex);
  all->push_back(std::move(kept));
}

}  // namespace hashep
