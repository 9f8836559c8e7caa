// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launch/process/option_table.hpp"
#include "launch/run_options.hpp"

namespace hashep {

/// All options of `hashep run`, with their names, words, bounds and help.
void describe_run_options(OptionTable& table, RunOptions& options);

}  // namespace hashep
