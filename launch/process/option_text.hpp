// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace hashep {

/// The option by which users of the programs know a setting of the library: "--token-dtype" of
/// "token_dtype".
std::string option_name(std::string_view setting);

/// What an error says to a user of a program, settings of the library being the program's options.
std::string option_text(const std::exception& error);

}  // namespace hashep
