// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <vector>

#include "kernels/threads.hpp"

namespace hashep {

/// Calls body(begin, end) on parts of [0, count), one a thread; `body` may throw, and the first
/// part's error is thrown.
template <typename Body>
void parallel_parts(int64_t count, int threads, Body&& body) {
  const int64_t parts = std::min<int64_t>(count, threads);
  std::vector<std::exception_ptr> errors(static_cast<size_t>(parts));
  parallel_ranges(parts, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      try {
        const Range range = split_range(count, parts, part);
        body(range.begin, range.end);
      } catch (...) {
        errors[static_cast<size_t>(part)] = std::current_exception();
      }
    }
  });
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace hashep
