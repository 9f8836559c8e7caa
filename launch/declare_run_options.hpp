// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include "launch/run_options.hpp"

namespace hashep {

/// Declares the options of `hashep run`; parsing then fills `options`.
void declare_run_options(CLI::App& app, RunOptions& options);

}  // namespace hashep
