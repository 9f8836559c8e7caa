// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/json_fields.hpp"

#include <cmath>
#include <optional>
#include <utility>

#include "core/quote.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"

namespace hashep::bench {

JsonFields::JsonFields(const nlohmann::json& value, std::string where)
    : value_(value), where_(std::move(where)) {
  if (!value.is_object()) throw InputError(where_ + ": must be an object");
}

void JsonFields::fail(std::string_view key, std::string_view wrong) const {
  throw InputError(where_ + ": " + std::string(key) + ": " + std::string(wrong));
}

const nlohmann::json& JsonFields::at(std::string_view key) {
  const auto found = value_.find(key);
  if (found == value_.end()) fail(key, "is missing");
  read_.emplace(key);
  return *found;
}

JsonFields JsonFields::object(std::string_view key) {
  return {at(key), where_ + ": " + std::string(key)};
}

const nlohmann::json& JsonFields::array(std::string_view key) {
  const nlohmann::json& list = at(key);
  if (!list.is_array()) fail(key, "must be a list");
  return list;
}

std::string JsonFields::text(std::string_view key) {
  const nlohmann::json& value = at(key);
  if (!value.is_string()) fail(key, "must be a text");
  return printable(value.get_ref<const std::string&>());
}

bool JsonFields::flag(std::string_view key, bool otherwise) {
  if (!has(key)) return otherwise;
  const nlohmann::json& value = at(key);
  if (!value.is_boolean()) fail(key, "must be true or false");
  return value.get<bool>();
}

double JsonFields::not_negative(std::string_view key) {
  const nlohmann::json& value = at(key);
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() < 0.0) {
    fail(key, "must be a number of at least 0");
  }
  return value.get<double>();
}

double JsonFields::positive(std::string_view key) {
  const nlohmann::json& value = at(key);
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0.0) {
    fail(key, "must be a positive number");
  }
  return value.get<double>();
}

int64_t JsonFields::count(std::string_view key, int64_t most) {
  const std::optional<int64_t> number = whole_number(at(key));
  if (!number || *number < 1 || *number > most) {
    fail(key, "must be a whole number from 1 to " + std::to_string(most));
  }
  return *number;
}

std::vector<std::pair<double, double>> JsonFields::pairs(std::string_view key) {
  std::vector<std::pair<double, double>> pairs;
  for (const nlohmann::json& entry : array(key)) {
    const bool is_pair = entry.is_array() && entry.size() == 2 && entry[0].is_number() &&
                         entry[1].is_number() && entry[0].get<double>() > 0.0 &&
                         entry[1].get<double>() > 0.0;
    if (!is_pair) fail(key, "must hold pairs of positive numbers");
    const std::pair<double, double> pair{entry[0].get<double>(), entry[1].get<double>()};
    if (!pairs.empty() && pair.first <= pairs.back().first) {
      fail(key, "the first numbers of pairs must ascend");
    }
    pairs.push_back(pair);
  }
  if (pairs.empty()) fail(key, "must not be empty");
  return pairs;
}

void JsonFields::finish() const {
  for (const auto& [key, value] : value_.items()) {
    if (!read_.contains(key)) throw InputError(where_ + ": unknown key " + quote(key));
  }
}

}  // namespace hashep::bench
