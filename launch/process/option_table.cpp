// SPDX-License-Identifier: Apache-2.0
#include "launch/process/option_table.hpp"

#include "core/format.hpp"

namespace hashep {

std::string exact_text(double value) {
  return format("%.17g", value);
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
