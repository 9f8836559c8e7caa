// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>

namespace hashep {

/// Looks up an environment variable; null where there is none.
using Lookup = std::function<const char*(const char*)>;

/// The environment as the launcher made it: MPI_Init of a process that takes itself to be alone
/// changes it (Open MPI).
class Environment {
 public:
  /// Copies the process's.
  Environment();

  /// Of this copy, which must outlive it.
  Lookup lookup() const;

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace hashep
