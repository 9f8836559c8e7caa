// SPDX-License-Identifier: Apache-2.0
#include "launch/single_process.hpp"

#include <cstdio>
#include <exception>
#include <new>

#include "hashep/error.hpp"
#include "launch/process/exit_code.hpp"
#include "launch/process/option_text.hpp"
#include "launch/process/result_json.hpp"
#include "launch/process/standard_streams.hpp"

namespace hashep {
namespace {

constexpr const char* kProgram = "hashep";

}  // namespace

bool parse_options(CLI::App& app, int argc, char** argv, int first) {
  app.set_version_flag("--version", version_text(), "Version and commit");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_config("--config", "", "Read any of these options from a TOML file")
      ->type_name("FILE.toml");
  try {
    app.parse(argc - (first - 1), argv + (first - 1));
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return false;
  } catch (const CLI::CallForVersion& version) {
    std::printf("%s\n", version.what());
    return false;
  } catch (const CLI::ConfigError& error) {
    throw InputError("--config " + app.get_config_ptr()->as<std::string>() + ": " + error.what());
  } catch (const CLI::ParseError& error) {
    throw InputError(error.what());
  }
  return true;
}

int run_single_process(const std::function<void()>& command) {
  try {
    command();
    flush_stdout();
    return kExitSuccess;
  } catch (const InputError& error) {
    print_error(kProgram, option_text(error));
    return kExitBadInput;
  } catch (const std::bad_alloc&) {
    print_error(kProgram, "out of memory");
  } catch (const std::exception& error) {
    print_error(kProgram, option_text(error));
  }
  return kExitFailure;
}

}  // namespace hashep
