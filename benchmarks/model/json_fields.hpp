// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace hashep::bench {

/// A JSON object of a file that is not to be trusted, read key by key. All reads throw InputError
/// naming the file, the way to the key and what it must be; `finish` refuses keys that nobody read.
class JsonFields {
 public:
  /// `where`: the file, and the way to this object within it. `value` must outlive the reader.
  JsonFields(const nlohmann::json& value, std::string where);

  bool has(std::string_view key) const { return value_.contains(key); }
  /// The value of a key that must be there.
  const nlohmann::json& at(std::string_view key);
  JsonFields object(std::string_view key);
  const nlohmann::json& array(std::string_view key);
  /// As printable (core/quote.hpp) gives it: texts are names, which are shown.
  std::string text(std::string_view key);
  bool flag(std::string_view key, bool otherwise);
  /// A finite number of at least 0, or greater than 0.
  double not_negative(std::string_view key);
  double positive(std::string_view key);
  /// A whole number from 1 to `most`: limits are checked here, before memory is taken.
  int64_t count(std::string_view key, int64_t most = int64_t{1} << 40);
  /// Pairs of positive numbers, the first ones ascending; [[a, b], ...], not empty.
  std::vector<std::pair<double, double>> pairs(std::string_view key);
  /// Throws where a key is left that was not read.
  void finish() const;

  /// Throws InputError: where this is, the key, what is wrong.
  [[noreturn]] void fail(std::string_view key, std::string_view wrong) const;

 private:
  const nlohmann::json& value_;
  std::string where_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace hashep::bench
