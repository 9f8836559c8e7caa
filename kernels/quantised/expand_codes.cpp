// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantised/expand_codes.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/load.hpp"
#include "core/quantised_matrix.hpp"
#include "kernels/ffn/activation.hpp"

namespace hashep {
namespace {

constexpr int64_t kOutputs = CodePanels::kGroupOutputs;
constexpr int64_t kMostStepInputs = 8;

/// The values of a step, [inputs][outputs].
using StepValues = std::array<std::array<float, kOutputs>, kMostStepInputs>;

void fp4_step(const std::byte* step, const float* values, StepValues& out) {
  for (int64_t output = 0; output < kOutputs; ++output) {
    for (int64_t half = 0; half < 2; ++half) {
      const unsigned word = load<uint16_t>(step + 4 * output + 2 * half);
      for (int64_t pair = 0; pair < 4; ++pair) {
        out[2 * pair + half][output] = values[(word >> (4 * pair)) & 15];
      }
    }
  }
}

void fp8_step(const std::byte* step, const float* values, StepValues& out) {
  for (int64_t output = 0; output < kOutputs; ++output) {
    const std::byte* const at = step + 16 * (output / 4) + 2 * (output % 4);
    for (int64_t input = 0; input < 4; ++input) {
      out[input][output] = values[static_cast<uint8_t>(at[8 * (input / 2) + input % 2])];
    }
  }
}

std::array<float, kOutputs> scales_of(const CodePanels& panels, const std::byte* scales) {
  QuantisedView block;
  block.scale_format = panels.scale_format;
  block.scales = scales;
  block.cols = kOutputs;
  std::array<float, kOutputs> values;
  for (int64_t output = 0; output < kOutputs; ++output) {
    values[output] = scale_of_block(block, 0, output);
  }
  return values;
}

/// Calls take(group, first input, values) for the steps of groups, values being those of codes
/// times scales.
template <typename Take>
void for_each_step(const CodePanels& panels, int64_t first_group, int64_t groups, Take&& take) {
  const float* const values = code_values(panels.format);
  const bool is_fp4 = panels.format == QuantFormat::fp4_e2m1;
  StepValues step_values{};
  for (int64_t group = first_group; group < first_group + groups; ++group) {
    const std::byte* step = panels.group_codes(group);
    const std::byte* scale = panels.group_scales(group);
    std::array<float, kOutputs> scales{};
    for (int64_t i = 0; i < panels.steps(); ++i, step += CodePanels::kStepBytes) {
      if (i % panels.block_steps() == 0) {
        scales = scales_of(panels, scale);
        scale += panels.block_scale_bytes();
      }
      is_fp4 ? fp4_step(step, values, step_values) : fp8_step(step, values, step_values);
      for (int64_t input = 0; input < panels.step_inputs(); ++input) {
        for (int64_t output = 0; output < kOutputs; ++output) {
          step_values[input][output] *= scales[output];
        }
      }
      take(group, i * panels.step_inputs(), step_values);
    }
  }
}

void store(const expand::Job& job, int64_t group, int64_t first_input, StepValues& values) {
  const OperandLayout& layout = job.layout;
  const int64_t count = job.panels.step_inputs();
  for (int64_t i = 0; i < count; i += layout.pair) {
    std::byte* const to = job.place(group, first_input + i);
    if (layout.dtype == DType::f32) {
      if (job.rounds) round_to_bf16(values[i]);
      std::memcpy(to, values[i].data(), sizeof values[i]);
      continue;
    }
    std::array<float, 2 * kOutputs> pair;
    for (int64_t output = 0; output < kOutputs; ++output) {
      pair[2 * output] = values[i][output];
      pair[2 * output + 1] = values[i + 1][output];
    }
    convert_from_float(pair.data(), std::ssize(pair), DType::bf16, to);
  }
}

}  // namespace

ExpandPath expand_path(const OperandLayout& layout) {
  if (layout.dtype == DType::bf16) {
    return expand::has_avx512() ? ExpandPath::avx512 : ExpandPath::plain;
  }
  return expand::has_avx2() ? ExpandPath::avx2 : ExpandPath::plain;
}

void expand_codes(const CodePanels& panels, int64_t first_group, int64_t groups, bool rounds,
                  const OperandLayout& layout, ExpandPath path, std::byte* out) {
  const expand::Job job{panels, first_group, groups, rounds, layout, out};
  if (path == ExpandPath::avx512) return expand::run_avx512(job);
  if (path == ExpandPath::avx2) return expand::run_avx2(job);
  for_each_step(panels, first_group, groups, [&](int64_t group, int64_t input, StepValues& values) {
    store(job, group - first_group, input, values);
  });
}

void expand_rows(const CodePanels& panels, int64_t first_output, int64_t count, float* out) {
  const int64_t first_group = first_output / kOutputs;
  const int64_t groups = (first_output + count + kOutputs - 1) / kOutputs - first_group;
  for_each_step(panels, first_group, groups,
                [&](int64_t group, int64_t input, const StepValues& values) {
                  for (int64_t lane = 0; lane < kOutputs; ++lane) {
                    const int64_t output = group * kOutputs + lane - first_output;
                    if (output < 0 || output >= count) continue;
                    const int64_t end = std::min(panels.step_inputs(), panels.inputs - input);
                    for (int64_t i = 0; i < end; ++i) {
                      out[output * panels.inputs + input + i] = values[i][lane];
                    }
                  }
                });
}

}  // namespace hashep
