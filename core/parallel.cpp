// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "core/granted_cores.hpp"

namespace hashep {

void parallel_for(int threads, int64_t count, const std::function<void(int64_t)>& body) {
  std::atomic<int64_t> next = 0;
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&] {
    for (int64_t i = next++; i < count; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next = count;
      }
    }
  };
  const int64_t wanted = threads > 0 ? threads : own_cores().threads();
  std::vector<std::jthread> helpers;
  for (int64_t t = 1; t < std::min(wanted, count); ++t) helpers.emplace_back(work);
  work();
  helpers.clear();  // waits for them
  if (error) std::rethrow_exception(error);
}

}  // namespace hashep
