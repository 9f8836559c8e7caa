// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace hashep {

/// The name of a setting for an error's text, marked: whoever shows the error may call the setting
/// by another name (Error::text). `name` is the name in C++: letters, digits and '_'.
std::string setting(std::string_view name);

/// The text of an error for another error that says more: marks stay, where the error has any.
const char* marked_text(const std::exception& error);

}  // namespace hashep
