// SPDX-License-Identifier: Apache-2.0
#include "core/strict_json.hpp"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/quote.hpp"

namespace hashep {
namespace {

constexpr int kMaxDepth = 64;  // levels: far more than any of our files has

std::string place_of(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, byte > 0 ? byte - 1 : 0);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t last_break = before.rfind('\n');
  const size_t column = before.size() - (last_break == before.npos ? 0 : last_break + 1) + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

}  // namespace

nlohmann::json parse_json_object(std::string_view text, const std::string& source) {
  using nlohmann::json;
  std::vector<std::set<std::string>> keys;  // seen so far, of each open object
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) {
      throw InputError(source + ": JSON nests deeper than " + std::to_string(kMaxDepth) +
                       " levels");
    }
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        throw InputError(source + ": key " + quote(key) + " occurs twice");
      }
    }
    return true;
  };
  json value;
  try {
    value = json::parse(text.begin(), text.end(), check);
  } catch (const json::parse_error& error) {
    throw InputError(source + ": not valid JSON at " + place_of(text, error.byte));
  } catch (const json::exception&) {
    throw InputError(source + ": not valid JSON: a number is out of range");
  }
  if (!value.is_object()) throw InputError(source + ": not a JSON object");
  return value;
}

std::optional<int64_t> whole_number(const nlohmann::json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && !std::in_range<int64_t>(value.get<uint64_t>())) {
    return std::nullopt;
  }
  return value.get<int64_t>();
}

}  // namespace hashep
