// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/kernels/kernel_machine.hpp"

namespace hashep::test {

// Each CHECKs one kernel against the CPU's, or the oracle, over many shapes: rows of one element,
// odd rows, rows that blocks share and rows that threads take in turns; fp32 and bf16; aligned and
// not; top-1 to top-64; no tokens; padding.

void check_scatter_cases(KernelMachine& machine);
void check_combine_cases(KernelMachine& machine);
void check_add_rows_cases(KernelMachine& machine);
void check_gate_cases(KernelMachine& machine);
void check_gate_fuses(KernelMachine& machine);
void check_gate_independence(KernelMachine& machine);
void check_activation_cases(KernelMachine& machine);
void check_activation_of_special_values(KernelMachine& machine);
void check_add_bias_cases(KernelMachine& machine);

/// The sizes of rows in all of them.
inline constexpr int64_t kRowSizes[] = {1, 3, 8, 24, 100, 1000, 4096, 4104};

/// Fewer tokens where rows are long.
constexpr int64_t tokens_of_size(int64_t d) {
  return d > 1000 ? 3 : 41;
}

/// Routes made up for one case: each assignment has a row of its own among tokens * top_k, in a
/// random order; the rows are those of kPlaces experts, each a stretch, numbered from 1000 * expert
/// on. Every fifth token is padding.
struct MadeRoutes {
  static constexpr int64_t kPlaces = 5;
  std::vector<int32_t> experts;
  std::vector<int64_t> rows;

  MadeRoutes(int64_t tokens, int top_k);
  /// Where those rows stand in `matrix`.
  static std::vector<ExpertPlace> places(std::byte* data);
};

}  // namespace hashep::test
