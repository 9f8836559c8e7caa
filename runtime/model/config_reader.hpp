// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hashep/error.hpp"

namespace hashep {

/// A key of config.json and the other spellings of it that people meet.
struct ConfigKey {
  std::string_view name;
  std::vector<std::string_view> others;
};

/// Reads typed values of one JSON object. A null counts as a missing key, as in the configs that
/// the transformers library writes. Errors are InputError, with `prefix` and the key as the file
/// spells it.
class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& object, std::string prefix);

  struct Found {
    std::string key;  // as it is spelt
    const nlohmann::json* value = nullptr;
  };
  /// Throws where two spellings are there that disagree.
  std::optional<Found> find(const ConfigKey& key) const;
  const nlohmann::json* value(std::string_view key) const;

  int64_t integer(const ConfigKey& key, std::optional<int64_t> otherwise = {}) const;
  uint64_t seed(std::string_view key) const;
  bool flag(std::string_view key) const;
  float number(const ConfigKey& key, float otherwise) const;

  template <typename Value>
  Value named(const ConfigKey& key, Value (*parse)(std::string_view), Value otherwise) const {
    const std::optional<std::string> text = string(key);
    if (!text) return otherwise;
    try {
      return parse(*text);
    } catch (const InputError& error) {
      fail(find(key)->key, error.marked());
    }
  }

  [[noreturn]] void fail(std::string_view key, const std::string& reason) const;

 private:
  std::optional<std::string> string(const ConfigKey& key) const;

  const nlohmann::json& object_;
  std::string prefix_;
};

}  // namespace hashep
