// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <omp.h>

namespace hashep {

/// While it lives, OpenMP regions that the calling thread opens have at most `threads` threads.
/// oneDNN asks OpenMP for its threads both when a primitive is made and when it runs.
class OmpThreads {
 public:
  explicit OmpThreads(int threads) : before_(omp_get_max_threads()) {
    omp_set_num_threads(threads);
  }
  ~OmpThreads() { omp_set_num_threads(before_); }
  OmpThreads(const OmpThreads&) = delete;
  OmpThreads& operator=(const OmpThreads&) = delete;

 private:
  int before_;
};

}  // namespace hashep
