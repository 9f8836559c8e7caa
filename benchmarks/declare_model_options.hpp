// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include "benchmarks/model/model_commands.hpp"

namespace hashep::bench {

void declare_fit(CLI::App& command, FitOptions& options);
void declare_check(CLI::App& command, CheckOptions& options);
/// The options of `scale --predict`.
void declare_predict(CLI::App& command, PredictOptions& options);

}  // namespace hashep::bench
