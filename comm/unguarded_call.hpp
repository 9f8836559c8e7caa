// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "comm/watch.hpp"

namespace hashep {

/// Stands by a call that cannot be polled, such as NCCL giving memory back: where
/// it has not returned within the Watch's deadline, or a stop signal has come meanwhile, a thread
/// prints one line and ends the process, which ends the job. The thread calls nothing of MPI.
class UnguardedCall {
 public:
  /// `what`: what the call does, for the line. `speaks` is asked whether this rank is to print, so
  /// that of several one does.
  UnguardedCall(const Watch& watch, std::string what, std::function<bool()> speaks);
  /// The call has returned.
  ~UnguardedCall() = default;

 private:
  std::jthread thread_;
};

}  // namespace hashep
