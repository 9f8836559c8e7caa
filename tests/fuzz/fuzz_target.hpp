// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "hashep/error.hpp"

namespace hashep::fuzz {

/// Ends the process in the way that libFuzzer counts as a crash.
inline void require(bool condition) {
  if (!condition) std::abort();
}

/// Calls `body`; bytes may be refused, with an InputError of one line and nothing else.
template <typename Body>
void allow_input_error(Body&& body) {
  try {
    body();
  } catch (const InputError& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
}

/// A copy whose length word makes the header end at the last '}'. Nearly all mutations change the
/// length of a safetensors header and would be refused for that alone.
inline std::vector<std::byte> with_fitting_length(std::span<const std::byte> bytes) {
  constexpr size_t kLengthBytes = 8;
  std::vector<std::byte> fitting(bytes.begin(), bytes.end());
  if (fitting.size() < kLengthBytes) return fitting;
  const auto last =
      std::find(fitting.rbegin(), fitting.rend() - kLengthBytes, static_cast<std::byte>('}'));
  const auto length = static_cast<uint64_t>(fitting.rend() - last) - kLengthBytes;
  std::memcpy(fitting.data(), &length, kLengthBytes);
  return fitting;
}

}  // namespace hashep::fuzz
