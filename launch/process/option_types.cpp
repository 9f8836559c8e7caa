// SPDX-License-Identifier: Apache-2.0
#include "launch/process/option_types.hpp"

#include "core/units.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

int64_t parse_limited(const std::string& text, const std::string& name, const CountLimits& limits) {
  const int64_t value = parse_count(text, name);
  if (value >= limits.least && value <= limits.most) return value;
  const std::string least = std::to_string(limits.least);
  throw InputError(name + " " + text + ": must be " +
                   (limits.most == INT64_MAX
                        ? "at least " + least
                        : "in [" + least + ", " + std::to_string(limits.most) + "]"));
}

}  // namespace

CLI::Option* add_count(CLI::App& app, const std::string& name, int64_t& value,
                       const CountLimits& limits, const std::string& help) {
  const auto parse = [&value, name, limits](const std::string& text) {
    value = parse_limited(text, name, limits);
  };
  return app.add_option_function<std::string>(name, parse, help)
      ->type_name("N")
      ->default_str(std::to_string(value));
}

CLI::Option* add_counts(CLI::App& app, const std::string& name, std::vector<int64_t>& values,
                        const CountLimits& limits, const std::string& help) {
  const auto parse = [&values, name, limits](const std::vector<std::string>& texts) {
    values.clear();
    for (const std::string& text : texts) values.push_back(parse_limited(text, name, limits));
  };
  std::string shown;
  for (const int64_t value : values) shown += (shown.empty() ? "" : ",") + std::to_string(value);
  return app.add_option_function<std::vector<std::string>>(name, parse, help)
      ->delimiter(',')
      ->type_name("N[,N...]")
      ->default_str(shown);
}

void require_between(const std::string& option, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    throw InputError(option + " " + std::to_string(value) + ": must be in [" +
                     std::to_string(least) + ", " + std::to_string(most) + "]");
  }
}

}  // namespace hashep
