// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {

/// Converts between integer types; throws RunError, naming `what`, where the value does not fit.
template <typename To, typename From>
To narrow(From value, std::string_view what) {
  if (!std::in_range<To>(value)) {
    throw RunError(std::string(what) + " = " + std::to_string(value) + " does not fit its type");
  }
  return static_cast<To>(value);
}

}  // namespace hashep
