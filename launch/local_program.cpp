// SPDX-License-Identifier: Apache-2.0
#include "launch/local_program.hpp"

#include <cstdio>
#include <new>

#include "core/error.hpp"
#include "core/exit_code.hpp"
#include "core/units.hpp"

namespace hashep {
namespace {

constexpr const char* kProgram = "hashep";

int64_t parse_limited(const std::string& text, const std::string& name, const CountLimits& limits) {
  const int64_t value = parse_count(text, name);
  if (value < limits.least || value > limits.most) {
    throw InputError(name + " " + text + ": must be in [" + std::to_string(limits.least) + ", " +
                     std::to_string(limits.most) + "]");
  }
  return value;
}

}  // namespace

int run_locally(const std::function<void()>& work) {
  try {
    work();
    return kExitSuccess;
  } catch (const InputError& error) {
    print_error(kProgram, error.what());
    return kExitBadInput;
  } catch (const std::bad_alloc&) {
    print_error(kProgram, "out of memory");
    return kExitFailure;
  } catch (const std::exception& error) {
    print_error(kProgram, error.what());
    return kExitFailure;
  }
}

bool parse_local_options(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc - 1, argv + 1);
    return true;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return false;
  } catch (const CLI::CallForVersion& version) {
    std::printf("%s\n", version.what());
    return false;
  } catch (const CLI::ParseError& error) {
    throw InputError(error.what());
  }
}

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

}  // namespace hashep
