// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace hashep {

/// Parses the text of a JSON object from a file that is not to be trusted. Throws InputError naming
/// `source` and the place where the text is not JSON, is no object, repeats a key, or nests deeper
/// than 64 levels.
nlohmann::json parse_json_object(std::string_view text, const std::string& source);

/// The value of a JSON number that is whole and fits 64 signed bits; nothing for any other value.
std::optional<int64_t> whole_number(const nlohmann::json& value);

}  // namespace hashep
