// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "launch/process/option_types.hpp"

namespace hashep {

/// A number with all its digits, so that any difference between ranks shows.
std::string exact_text(double value);

/// The options of a command, each described once: for the parser, for the help, and for ranks that
/// compare what they were given. What is described refers to the values, which must outlive it.
class OptionTable {
 public:
  explicit OptionTable(CLI::App& app) : app_(app) {}

  CLI::App& app() { return app_; }

  /// Options that follow are in this group of the help.
  void begin_group(const std::string& name) { group_ = name; }

  // Each returns the option for what is left to say of it.

  CLI::Option* text(const std::string& name, std::string& value, const std::string& type,
                    const std::string& help) {
    return keep(app_.add_option(name, value, help)->type_name(type), [&value] { return value; });
  }
  CLI::Option* flag(const std::string& name, bool& value, const std::string& help) {
    return keep(app_.add_flag(name, value, help),
                [&value]() -> std::string { return value ? "on" : "off"; });
  }
  CLI::Option* count(const std::string& name, int64_t& value, const CountLimits& limits,
                     const std::string& help) {
    return keep(add_count(app_, name, value, limits, help),
                [&value] { return std::to_string(value); });
  }
  /// What CLI11 reads by itself.
  template <typename Number>
  CLI::Option* number(const std::string& name, Number& value, const std::string& help) {
    return keep(app_.add_option(name, value, help), [&value] {
      if constexpr (std::is_integral_v<Number>) return std::to_string(value);
      return exact_text(static_cast<double>(value));
    });
  }
  template <typename Value>
  CLI::Option* word(const std::string& name, Value& value, std::span<const Word<Value>> words,
                    const std::string& help, const std::string& what = "") {
    return keep(add_word(app_, name, value, words, help, what),
                [&value, words] { return std::string(word_of(value, words)); });
  }
  /// What has a parser of its own. `show`: the text of the value now.
  CLI::Option* parsed(const std::string& name, const std::function<void(const std::string&)>& parse,
                      std::function<std::string()> show, const std::string& help) {
    const std::string shown = show();
    return keep(app_.add_option_function<std::string>(name, parse, help)->default_str(shown),
                std::move(show));
  }

  /// The option described last may differ between ranks.
  void may_differ() { shown_.pop_back(); }
  /// It is compared as "no value" where it is not given.
  void compare_if_given();

  /// All options that must not differ, with the text of their values now.
  std::vector<std::pair<std::string, std::string>> settings() const;

 private:
  struct Shown {
    const CLI::Option* option;
    std::function<std::string()> text;
  };
  CLI::Option* keep(CLI::Option* option, std::function<std::string()> text) {
    if (!group_.empty()) option->group(group_);
    shown_.push_back({option, std::move(text)});
    return option;
  }

  CLI::App& app_;
  std::string group_;
  std::vector<Shown> shown_;
};

}  // namespace hashep
