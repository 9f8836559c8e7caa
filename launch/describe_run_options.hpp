// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launch/process/option_table.hpp"
#include "launch/run_options.hpp"

namespace hashep {

/// The group of the options that a model folder sets.
inline constexpr const char* kSyntheticModel = "Synthetic model (without --model)";

/// All options of `hashep run`: the one place that knows their names, words, bounds and help.
void describe_run_options(OptionTable& table, RunOptions& options);

}  // namespace hashep
