// SPDX-License-Identifier: Apache-2.0
// The one place that knows that Catch2 2.x and 3.x have different headers.
#pragma once

#ifdef HASHEP_CATCH2_V3
#include <catch2/catch_all.hpp>
using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
#else
#include <catch2/catch.hpp>
inline auto ContainsSubstring(const std::string& text) {
  return Catch::Matchers::Contains(text);
}
#endif
