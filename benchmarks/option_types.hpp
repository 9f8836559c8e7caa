// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "benchmarks/harness.hpp"
#include "hashep/dtype.hpp"
#include "launch/process/option_types.hpp"

namespace hashep::bench {

/// An option that takes a number of at least 1, or a list of them. `help` tells the default.
CLI::Option* add_count(CLI::App& app, const std::string& name, int64_t& value,
                       const std::string& help);
CLI::Option* add_counts(CLI::App& app, const std::string& name, std::vector<int64_t>& values,
                        const std::string& help);

void add_sampling(CLI::App& app, Sampling& sampling);
void add_json(CLI::App& app, std::string& path);
void add_dtypes(CLI::App& app, std::vector<DType>& dtypes, const std::string& help);

}  // namespace hashep::bench
