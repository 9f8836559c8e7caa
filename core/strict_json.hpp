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
/// than 64 levels; for files of other kinds, what it is.
nlohmann::json parse_json_object(std::string_view text, const std::string& source);

/// The same of the file at `path`. Throws InputError, too, where it cannot be read, or is larger
/// than 256 MiB: a JSON value takes several times its text.
nlohmann::json read_json_object(const std::string& path);

/// The value of a JSON number that is whole and fits 64 signed bits; nothing for any other value.
std::optional<int64_t> whole_number(const nlohmann::json& value);

}  // namespace hashep
