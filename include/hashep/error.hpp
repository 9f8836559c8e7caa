// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace hashep {

/// Base of the errors that the library throws. `what()` calls the library's settings by their names
/// in C++, such as "transport" or "token_dtype".
class Error : public std::runtime_error {
 public:
  /// `text` may hold names of settings that are marked by setting() (core/setting.hpp).
  explicit Error(const std::string& text);

  /// The text with each setting as `spell` says it, which is given the name in C++: for a program
  /// whose users know its settings by other names.
  std::string text(const std::function<std::string(std::string_view)>& spell) const;

  /// The text as it was given, with its marks: for another error that is to say the same.
  const char* marked() const noexcept { return marked_.what(); }

 private:
  std::runtime_error marked_;  ///< a text that is copied without a chance to fail
};

/// Input a user can mend: a bad option, file, table or setting. Programs end with exit code 2.
class InputError : public Error {
 public:
  using Error::Error;
};

/// A failure while running: a library call, a lost or stalled rank. Programs end with exit code 1.
/// The text names call, code and, where they are known, rank, peer, layer, phase and step.
class RunError : public Error {
 public:
  using Error::Error;
};

}  // namespace hashep
