// SPDX-License-Identifier: Apache-2.0
#include "core/strict_json.hpp"

#include <algorithm>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "core/file_kind.hpp"
#include "core/input_file.hpp"
#include "core/quote.hpp"
#include "core/wrong_file.hpp"
#include "hashep/error.hpp"

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

/// What a text is that does not even begin as JSON does; empty where that is not known.
std::string other_kind(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != text.npos && (text[first] == '{' || text[first] == '[')) return "";
  const auto bytes = std::as_bytes(std::span(text));
  return what_it_is(bytes.first(std::min(bytes.size(), kFileKindBytes)), std::ssize(text));
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
    const std::string known = other_kind(text);
    throw InputError(source + ": not valid JSON" +
                     (known.empty() ? " at " + place_of(text, error.byte) : ": " + known));
  } catch (const json::exception&) {
    throw InputError(source + ": not valid JSON: a number is out of range");
  }
  if (!value.is_object()) throw InputError(source + ": not a JSON object");
  return value;
}

nlohmann::json read_json_object(const std::string& path) {
  return parse_json_object(read_text_file(path), path);
}

std::optional<int64_t> whole_number(const nlohmann::json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && !std::in_range<int64_t>(value.get<uint64_t>())) {
    return std::nullopt;
  }
  return value.get<int64_t>();
}

}  // namespace hashep
