// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "benchmarks/model/point_errors.hpp"

namespace hashep::bench {

/// Predicts the exchanges of other libraries of which a file has published figures
/// (benchmarks/machines/published.json): the same ranks, tokens and routing, counted in bytes as
/// the publication counts them. Figures are bandwidths, turned into times by the bytes that they
/// are of, or latencies. Those that a profile's figure was taken from are of kind "calibrates".
/// Throws InputError where the file is no such file.
std::vector<PointError> published_errors(const nlohmann::json& document, const std::string& file,
                                         const MachineProfile& profile);

}  // namespace hashep::bench
