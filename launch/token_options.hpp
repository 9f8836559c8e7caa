// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// How token files are read: --token-dtype, --tokenizer and --padding-id, for each command that has
/// --tokens, which is declared before.
void declare_token_format(CLI::App& app, TokenFile& format, const std::string& group = "Options");

}  // namespace hashep
