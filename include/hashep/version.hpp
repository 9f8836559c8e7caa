// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace hashep {

/// The version of the library, as "0.1.0". It lives as long as the program.
std::string_view version();

/// The git commit that the library was configured at; "unknown" outside git.
std::string_view commit();

}  // namespace hashep
