// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quantised/code_panels.hpp"
#include "kernels/quantised/operand_layout.hpp"

namespace hashep {

/// Instructions that codes are expanded with. All give the same bits.
enum class ExpandPath {
  plain,  // C++
  avx2,   // where the layout is of f32
  avx512  // AVX-512 with VBMI and bf16; where the layout is of bf16
};

/// The fastest that this machine has for the layout.
ExpandPath expand_path(const OperandLayout& layout);

/// Values of outputs [16 first_group, 16 (first_group + groups)), rounded to bf16 where `rounds` is
/// true (with a layout of bf16 they always are), into `out` as `layout` has it, the first of these
/// outputs being output 0 there. Writes what is beyond the edges too, up to multiples of 16 outputs
/// and 8 inputs.
void expand_codes(const CodePanels& panels, int64_t first_group, int64_t groups, bool rounds,
                  const OperandLayout& layout, ExpandPath path, std::byte* out);

/// out[o - first_output, i] <- the values of outputs [first_output, first_output + count), not
/// rounded. For where no layout is known.
void expand_rows(const CodePanels& panels, int64_t first_output, int64_t count, float* out);

namespace expand {

struct Job {
  const CodePanels& panels;
  int64_t first_group;
  int64_t groups;
  bool rounds;
  const OperandLayout& layout;
  std::byte* out;

  /// Where output 16 g of `out` stands with input i, in bytes.
  std::byte* place(int64_t group, int64_t input) const {
    const int64_t output = group * CodePanels::kGroupOutputs;
    const int64_t element = output / layout.block_outputs * layout.output_stride +
                            input / layout.block_inputs * layout.input_stride +
                            input % layout.block_inputs * layout.block_outputs +
                            output % layout.block_outputs * layout.pair;
    return out + element * dtype_size(layout.dtype);
  }
};

/// x86 alone; only where expand_path says so.
void run_avx2(const Job& job);
void run_avx512(const Job& job);
bool has_avx2();
bool has_avx512();

}  // namespace expand
}  // namespace hashep
