// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace hashep::bench {

/// A line by a printf pattern, 400 characters at most.
template <typename... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 400> line{};
  std::snprintf(line.data(), line.size(), pattern, values...);
  return line.data();
}

inline nlohmann::ordered_json or_null(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

}  // namespace hashep::bench
