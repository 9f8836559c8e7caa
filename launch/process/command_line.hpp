// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

namespace hashep {

/// Gives a command --version and --config, and has it parse its command line, argv[1] being its
/// name. Returns what to print where --help or --version was asked for, else nothing. Prints
/// nothing. Throws InputError.
std::optional<std::string> parse_command_line(CLI::App& app, int argc, const char* const* argv);

}  // namespace hashep
