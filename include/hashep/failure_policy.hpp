// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "hashep/phase.hpp"

namespace hashep {

/// A call that cannot be polled, so that no deadline ends it: of MPI, NCCL or CUDA.
struct BlockingCall {
  std::string what;       ///< "finding the ranks of its node"
  double deadline = 0.0;  ///< seconds that a wait may take
  bool on_all = false;    ///< all ranks are in the same call, and may be stuck in it alike
};

/// What a program does about ranks that are lost or stuck, beside the errors that the library
/// throws: the library itself never ends the process, prints nothing about them, and where a call
/// of MPI or CUDA does not return it has nothing to throw. A policy is told what the rank is at, on
/// the rank's own thread, and may act from a thread of its own: see launch/process/watchdog.hpp,
/// which ends the process. Functions that are not overridden do nothing. They are called often,
/// inside of steps too: they must be quick, throw nothing and call nothing of MPI. All of them are
/// local.
class FailurePolicy {
 public:
  virtual ~FailurePolicy() = default;

  /// The rank is here from now on.
  virtual void at(const Position& /*position*/) noexcept {}
  /// A wait goes on: MPI has returned.
  virtual void makes_progress() noexcept {}
  /// The rank is about to send a word to `peer`, which may not return where the peer is dead; -1:
  /// it has returned.
  virtual void sends_to(int /*peer*/) noexcept {}
  /// A word of `peer` has come.
  virtual void hears_of(int /*peer*/) noexcept {}
  /// A wait has passed its deadline or was told to stop (`reason`): the rank asks all others, of
  /// `size` in all, for an answer, for up to `grace` seconds, and then throws RunError.
  virtual void gives_up(const std::string& /*reason*/, double /*grace*/, int /*size*/) noexcept {}
  /// All ranks that fail now know which of them reports the error. The rank is about to throw.
  virtual void reporter_is_known() noexcept {}
  /// A call begins that may never return. Calls may be nested.
  virtual void call_begins(const BlockingCall& /*call*/) noexcept {}
  /// The call that began last has returned.
  virtual void call_ends() noexcept {}
};

}  // namespace hashep
