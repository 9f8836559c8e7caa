// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "benchmarks/experts_bench.hpp"

namespace hashep::bench {

/// Measures experts whose weights are bf16, FP8 and FP4 (rows `experts_bf16`, `experts_fp8`,
/// `experts_fp4`), the quantised ones packed, in turn; prints a line for each. Before that, outputs
/// are compared with those of the same weights expanded: all bits. Returns the rows as JSON. Throws
/// RunError where a bit differs.
nlohmann::ordered_json measure_packed_experts(const ExpertsOptions& options);

}  // namespace hashep::bench
