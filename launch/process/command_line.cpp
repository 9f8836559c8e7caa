// SPDX-License-Identifier: Apache-2.0
#include "launch/process/command_line.hpp"

#include "hashep/error.hpp"
#include "launch/process/result_json.hpp"

namespace hashep {

std::optional<std::string> parse_command_line(CLI::App& app, int argc, const char* const* argv) {
  app.set_version_flag("--version", version_text(), "Version and commit");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_config("--config", "", "Read any of these options from a TOML file (num-layers = 3 ...)")
      ->type_name("FILE.toml");
  try {
    app.parse(argc - 1, argv + 1);
  } catch (const CLI::CallForHelp&) {
    return app.help();
  } catch (const CLI::CallForVersion& version) {
    return version.what() + std::string("\n");
  } catch (const CLI::ConfigError& error) {
    throw InputError("--config " + app.get_config_ptr()->as<std::string>() + ": " + error.what());
  } catch (const CLI::ParseError& error) {
    throw InputError(error.what());
  }
  return std::nullopt;
}

}  // namespace hashep
