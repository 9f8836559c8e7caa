// SPDX-License-Identifier: Apache-2.0
#include "launch/process/option_table.hpp"

#include <array>
#include <cstdio>

namespace hashep {

std::string exact_text(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.17g", value);
  return text.data();
}

void OptionTable::compare_if_given() {
  Shown& last = shown_.back();
  last.text = [option = last.option, text = std::move(last.text)] {
    return option->count() > 0 ? text() : "no value";
  };
}

std::vector<std::pair<std::string, std::string>> OptionTable::settings() const {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const Shown& shown : shown_) settings.emplace_back(shown.option->get_name(), shown.text());
  return settings;
}

}  // namespace hashep
