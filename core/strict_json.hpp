// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace hashep {

/// Parses the text of a JSON object from a file that is not to be trusted. Throws InputError naming
/// `source` and the place where the text is not JSON, is no object, repeats a key, or nests deeper
/// than 64 levels.
nlohmann::json parse_json_object(std::string_view text, const std::string& source);

}  // namespace hashep
