// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace hashep {

/// Input a user can mend: a bad option, file, table or setting. Programs end with exit code 2.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A failure while running: a library call, a lost or stalled rank. Programs end with exit code 1.
/// The text names call, code and, where they are known, rank, peer, layer, phase and step.
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace hashep
