// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include <algorithm>
#include <array>

#include "kernels/quantised/code_steps_avx512.hpp"
#include "kernels/quantised/few_rows.hpp"

namespace hashep {
namespace {

/// A product of kRows rows.
template <int kRows>
struct Product {
  const CodePanels& panels;
  int64_t part_steps;
  const std::byte* x;
  float* sums;

  /// Groups of outputs that are summed at once: sums depend on those before, and a product takes
  /// some 6 cycles.
  static constexpr int kGroups = kRows <= 2 ? 4 : 2;
  static constexpr int64_t kAhead = 1024;  // bytes of codes that are asked for early

  template <typename Lookup, typename Scale>
  HASHEP_AVX512_BF16 void run() const {
    int64_t group = 0;
    const int64_t end = panels.groups();
    for (; group + kGroups <= end; group += kGroups) run_groups<Lookup, Scale, kGroups>(group);
    for (; group < end; ++group) run_groups<Lookup, Scale, 1>(group);
  }

 private:
  template <typename Lookup, typename Scale, int kCount>
  HASHEP_AVX512_BF16 void run_groups(int64_t group) const {
    const Lookup lookup;
    const int64_t group_codes = panels.steps() * CodePanels::kStepBytes;
    const int64_t group_scales = panels.blocks() * panels.block_scale_bytes();
    const int64_t row_bytes = 2 * panels.inputs;
    const std::byte* step = panels.group_codes(group);
    const std::byte* scales = panels.group_scales(group);
    const std::byte* pair_of_x = x;
    __m512 sum[kCount][kRows];
    for (int of = 0; of < kCount; ++of) {
      for (int row = 0; row < kRows; ++row) sum[of][row] = _mm512_setzero_ps();
    }
    int64_t left_of_block = 0;
    int64_t left_of_part = part_steps;
    bool is_first_part = true;
    Scale scale[kCount];
    for (int64_t left = panels.steps(); left > 0;) {
      if (left_of_block == 0) {
        for (int of = 0; of < kCount; ++of) scale[of].load(scales + of * group_scales);
        scales += panels.block_scale_bytes();
        left_of_block = panels.block_steps();
      }
      const int64_t count = std::min({left, left_of_block, left_of_part});
      for (int64_t i = 0; i < count; ++i, step += CodePanels::kStepBytes) {
        __m512i pairs[kCount][Lookup::kPairs];
        for (int of = 0; of < kCount; ++of) {
          _mm_prefetch(step + of * group_codes + kAhead, _MM_HINT_T0);
          lookup.look_up(step + of * group_codes, pairs[of]);
        }
        for (int pair = 0; pair < Lookup::kPairs; ++pair, pair_of_x += 4) {
          __m512bh weights[kCount];
          for (int of = 0; of < kCount; ++of) {
            weights[of] = reinterpret_cast<__m512bh>(scale[of].scaled(pairs[of][pair]));
          }
          for (int row = 0; row < kRows; ++row) {
            const __m512bh value = reinterpret_cast<__m512bh>(
                _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(pair_of_x + row * row_bytes)));
            for (int of = 0; of < kCount; ++of) {
              sum[of][row] = _mm512_dpbf16_ps(sum[of][row], value, weights[of]);
            }
          }
        }
      }
      left -= count;
      left_of_block -= count;
      left_of_part -= count;
      if (left_of_part > 0 && left > 0) continue;
      add_part(group, kCount, is_first_part, &sum[0][0]);
      is_first_part = false;
      left_of_part = part_steps;
      for (int of = 0; of < kCount; ++of) {
        for (int row = 0; row < kRows; ++row) sum[of][row] = _mm512_setzero_ps();
      }
    }
  }

  /// Adds the sums of some inputs, [count][kRows], to those before.
  HASHEP_AVX512_BF16_INLINE void add_part(int64_t group, int count, bool is_first,
                                          const __m512* part) const {
    for (int of = 0; of < count; ++of) {
      const int64_t first = (group + of) * CodePanels::kGroupOutputs;
      const int64_t width = panels.outputs - first;
      const auto lanes = static_cast<__mmask16>(width >= 16 ? 0xffff : (1 << width) - 1);
      for (int row = 0; row < kRows; ++row) {
        float* const to = sums + row * panels.outputs + first;
        __m512 sum = part[of * kRows + row];
        if (!is_first) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, to));
        _mm512_mask_storeu_ps(to, lanes, sum);
      }
    }
  }
};

template <int kRows>
void multiply(const CodePanels& panels, int64_t part_steps, const std::byte* x, float* sums) {
  avx512::with_steps_of(panels, Product<kRows>{panels, part_steps, x, sums});
}

using Multiply = void (*)(const CodePanels&, int64_t, const std::byte*, float*);
constexpr std::array<Multiply, kMostFewRows> kByRows = {multiply<1>, multiply<2>, multiply<3>,
                                                        multiply<4>, multiply<5>, multiply<6>,
                                                        multiply<7>, multiply<8>};

}  // namespace

bool has_few_rows(const CodePanels& panels) {
  return avx512::is_there() && panels.inputs % panels.step_inputs() == 0;
}

void few_rows_product(const CodePanels& panels, int64_t part_inputs, int64_t rows,
                      const std::byte* x, float* sums) {
  kByRows[rows - 1](panels, part_inputs / panels.step_inputs(), x, sums);
}

HASHEP_AVX512_BF16 void few_rows_round(const float* sums, int64_t count, std::byte* out) {
  for (int64_t i = 0; i < count; i += 16) {
    const auto lanes = static_cast<__mmask16>(count - i >= 16 ? 0xffff : (1 << (count - i)) - 1);
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, sums + i));
    _mm256_mask_storeu_epi16(out + 2 * i, lanes, reinterpret_cast<__m256i>(rounded));
  }
}

}  // namespace hashep
