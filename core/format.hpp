// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace hashep {

/// A text by a printf pattern, which the compiler checks against the values; of any length.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);

}  // namespace hashep
