// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "launch/process/option_table.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// How token files are read: --token-dtype, --tokenizer and --padding-id, for each command that has
/// --tokens, which is described before.
void describe_token_format(OptionTable& table, TokenFile& format);
void declare_token_format(CLI::App& app, TokenFile& format, const std::string& group = "Options");

}  // namespace hashep
