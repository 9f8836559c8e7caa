// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/config_reader.hpp"

#include <cmath>
#include <limits>
#include <utility>

#include "core/quote.hpp"
#include "core/strict_json.hpp"

namespace hashep {
namespace {

using nlohmann::json;

/// A value in a message.
std::string text_of(const json& value) {
  const std::string text =
      value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  return value.is_string() ? text : value.is_structured() ? quote(text) : text;
}

std::string missing_text(const ConfigKey& key) {
  std::string text = "missing";
  for (size_t i = 0; i < key.others.size(); ++i) {
    text += (i == 0 ? " (nor is there " : ", ") + std::string(key.others[i]);
  }
  return text + (key.others.empty() ? "" : ")");
}

}  // namespace

ConfigReader::ConfigReader(const json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {}

void ConfigReader::fail(std::string_view key, const std::string& reason) const {
  throw InputError(prefix_ + std::string(key) + ": " + reason);
}

const json* ConfigReader::value(std::string_view key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<ConfigReader::Found> ConfigReader::find(const ConfigKey& key) const {
  std::optional<Found> found;
  const auto look = [&](std::string_view name) {
    const json* other = value(name);
    if (other == nullptr) return;
    if (!found) {
      found = Found{std::string(name), other};
    } else if (*other != *found->value) {
      fail(found->key,
           text_of(*found->value) + ", but " + std::string(name) + " is " + text_of(*other));
    }
  };
  look(key.name);
  for (const std::string_view other : key.others) look(other);
  return found;
}

int64_t ConfigReader::integer(const ConfigKey& key, std::optional<int64_t> otherwise) const {
  const std::optional<Found> found = find(key);
  if (!found) {
    if (!otherwise) fail(key.name, missing_text(key));
    return *otherwise;
  }
  const std::optional<int64_t> number = whole_number(*found->value);
  if (!number) fail(found->key, "not a 64-bit integer");
  return *number;
}

uint64_t ConfigReader::seed(std::string_view key) const {
  const json* seed = value(key);
  if (seed == nullptr) return 0;
  if (!seed->is_number_unsigned()) fail(key, "not an unsigned 64-bit integer");
  return seed->get<uint64_t>();
}

bool ConfigReader::flag(std::string_view key) const {
  const json* flag = value(key);
  if (flag == nullptr) return false;
  if (!flag->is_boolean()) fail(key, "neither true nor false");
  return flag->get<bool>();
}

float ConfigReader::number(const ConfigKey& key, float otherwise) const {
  const std::optional<Found> found = find(key);
  if (!found) return otherwise;
  if (!found->value->is_number()) fail(found->key, "not a number");
  const auto wide = found->value->get<double>();
  if (std::abs(wide) > std::numeric_limits<float>::max()) fail(found->key, "does not fit fp32");
  return static_cast<float>(wide);
}

std::optional<std::string> ConfigReader::string(const ConfigKey& key) const {
  const std::optional<Found> found = find(key);
  if (!found) return std::nullopt;
  if (!found->value->is_string()) fail(found->key, "not a string");
  return found->value->get<std::string>();
}

}  // namespace hashep
