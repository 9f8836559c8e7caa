// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "launch/process/words.hpp"

namespace hashep {

/// Bounds of a number.
struct CountLimits {
  int64_t least = 1;
  int64_t most = INT64_MAX;
};

/// An option for a number, or for a list of them, within the bounds and with the suffixes of
/// parse_count. `name`: "--steps". The help shows the value that the option has without being
/// given.
CLI::Option* add_count(CLI::App& app, const std::string& name, int64_t& value,
                       const CountLimits& limits, const std::string& help);
CLI::Option* add_counts(CLI::App& app, const std::string& name, std::vector<int64_t>& values,
                        const CountLimits& limits, const std::string& help);

/// An option for one of some words. `what`: see parse_word.
template <typename Value>
CLI::Option* add_word(CLI::App& app, const std::string& name, Value& value,
                      std::span<const Word<Value>> words, const std::string& help,
                      const std::string& what = "") {
  const auto parse = [&value, name, words, what](const std::string& text) {
    value = parse_word(name, text, words, what);
  };
  return app.add_option_function<std::string>(name, parse, help)
      ->default_str(std::string(word_of(value, words)));
}

/// Throws InputError, naming the option, unless least <= value <= most: for bounds that other
/// options set.
void require_between(const std::string& option, int64_t value, int64_t least, int64_t most);

}  // namespace hashep
