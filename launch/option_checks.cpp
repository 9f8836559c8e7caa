// SPDX-License-Identifier: Apache-2.0
#include "launch/option_checks.hpp"

#include "core/error.hpp"
#include "core/units.hpp"

namespace hashep {

void add_count(CLI::App& app, const std::string& name, int64_t& value,
               const std::string& description) {
  app.add_option_function<std::string>(
         name, [&value, name](const std::string& text) { value = parse_count(text, name); },
         description)
      ->type_name("N")
      ->default_str(std::to_string(value));
}

void require_one_of(const std::string& option, const std::string& value,
                    std::initializer_list<const char*> known) {
  std::string list;
  for (const char* name : known) {
    if (value == name) return;
    list += list.empty() ? name : std::string(", ") + name;
  }
  throw InputError(option + " " + value + ": known are " + list);
}

void require_between(const std::string& option, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    throw InputError(option + " " + std::to_string(value) + ": must be in [" +
                     std::to_string(least) + ", " + std::to_string(most) + "]");
  }
}

}  // namespace hashep
