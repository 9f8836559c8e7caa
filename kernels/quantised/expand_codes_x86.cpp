// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "core/quantised_matrix.hpp"
#include "kernels/quantised/code_steps_avx512.hpp"
#include "kernels/quantised/expand_codes.hpp"

namespace hashep::expand {
namespace {

/// Where the steps of a group go, one after the other.
class StepPlaces {
 public:
  StepPlaces(const Job& job, int64_t group)
      : block_(job.place(group, 0)),
        at_(block_),
        block_bytes_(job.layout.input_stride * dtype_size(job.layout.dtype)),
        step_bytes_(job.panels.step_inputs() * job.layout.block_outputs *
                    dtype_size(job.layout.dtype)),
        steps_of_block_(job.layout.block_inputs / job.panels.step_inputs()) {}

  std::byte* next() {
    if (step_ == steps_of_block_) {
      block_ += block_bytes_;
      at_ = block_;
      step_ = 0;
    }
    ++step_;
    std::byte* const place = at_;
    at_ += step_bytes_;
    return place;
  }

 private:
  std::byte* block_;
  std::byte* at_;
  int64_t block_bytes_;
  int64_t step_bytes_;
  int64_t steps_of_block_;
  int64_t step_ = 0;
};

struct Avx512 {
  const Job& job;

  template <typename Lookup, typename Scale>
  HASHEP_AVX512_BF16 void run() const {
    const CodePanels& panels = job.panels;
    const Lookup lookup;
    const int64_t pair_bytes = 4 * job.layout.block_outputs;  // from one to the next
    for (int64_t group = 0; group < job.groups; ++group) {
      const std::byte* step = panels.group_codes(job.first_group + group);
      const std::byte* scales = panels.group_scales(job.first_group + group);
      StepPlaces places(job, group);
      for (int64_t left = panels.steps(); left > 0; scales += panels.block_scale_bytes()) {
        Scale scale;
        scale.load(scales);
        const int64_t count = left < panels.block_steps() ? left : panels.block_steps();
        left -= count;
        for (int64_t i = 0; i < count; ++i, step += CodePanels::kStepBytes) {
          std::byte* const to = places.next();
          __m512i pairs[Lookup::kPairs];
          lookup.look_up(step, pairs);
          for (int pair = 0; pair < Lookup::kPairs; ++pair) {
            _mm512_storeu_si512(to + pair * pair_bytes, scale.scaled(pairs[pair]));
          }
        }
      }
    }
  }
};

#define HASHEP_AVX2 __attribute__((target("avx2")))
#define HASHEP_AVX2_INLINE HASHEP_AVX2 __attribute__((always_inline)) inline

/// Eight outputs' codes of each input of a step, one to a 32-bit lane.
HASHEP_AVX2_INLINE void fp4_lanes(const std::byte* step, int half, __m256i* inputs) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(step + 32 * half));
  const __m256i mask = _mm256_set1_epi32(15);
  for (int pair = 0; pair < 4; ++pair) {
    inputs[2 * pair] = _mm256_and_si256(_mm256_srli_epi32(words, 4 * pair), mask);
    inputs[2 * pair + 1] = _mm256_and_si256(_mm256_srli_epi32(words, 16 + 4 * pair), mask);
  }
}

HASHEP_AVX2_INLINE void fp8_lanes(const std::byte* step, int half, __m256i* inputs) {
  const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(step + 32 * half));
  for (int input = 0; input < 4; ++input) {
    // Byte 8 (input / 2) + input % 2 of an output, its next one's two further.
    const __m256i first =
        _mm256_set1_epi32(static_cast<int>(0xffffff00) | (8 * (input / 2) + input % 2));
    const __m256i which = _mm256_add_epi32(first, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    inputs[input] = _mm256_shuffle_epi8(codes, which);
  }
}

/// Eight scales as floats.
HASHEP_AVX2_INLINE __m256 scales_of(const CodePanels& panels, const std::byte* scales, int half) {
  if (panels.scale_format == ScaleFormat::f32) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(scales) + 8 * half);
  }
  const __m256i e =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(scales + 8 * half)));
  constexpr int kLeast = 0x00400000;  // 2^-127 is subnormal
  return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_slli_epi32(e, 23), _mm256_set1_epi32(kLeast)));
}

HASHEP_AVX2_INLINE __m256 rounded(__m256 value) {
  const __m256i bits = _mm256_castps_si256(value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  return _mm256_castsi256_ps(
      _mm256_and_si256(sum, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
}

}  // namespace

bool has_avx2() {
  return __builtin_cpu_supports("avx2");
}

bool has_avx512() {
  return avx512::is_there();
}

void run_avx512(const Job& job) {
  avx512::with_steps_of(job.panels, Avx512{job});
}

HASHEP_AVX2 void run_avx2(const Job& job) {
  const CodePanels& panels = job.panels;
  const bool is_fp4 = panels.format == QuantFormat::fp4_e2m1;
  const bool rounds = job.rounds && !panels.is_exact;
  const float* const values = code_values(panels.format);
  const int64_t inputs = panels.step_inputs();
  const int64_t input_bytes = 4 * job.layout.block_outputs;  // from one to the next
  for (int64_t group = 0; group < job.groups; ++group) {
    const std::byte* step = panels.group_codes(job.first_group + group);
    const std::byte* scales = panels.group_scales(job.first_group + group);
    StepPlaces places(job, group);
    __m256 factor[2];
    for (int64_t i = 0; i < panels.steps(); ++i, step += CodePanels::kStepBytes) {
      if (i % panels.block_steps() == 0) {
        factor[0] = scales_of(panels, scales, 0);
        factor[1] = scales_of(panels, scales, 1);
        scales += panels.block_scale_bytes();
      }
      std::byte* const to = places.next();
      for (int half = 0; half < 2; ++half) {
        __m256i codes[8];
        is_fp4 ? fp4_lanes(step, half, codes) : fp8_lanes(step, half, codes);
        for (int64_t input = 0; input < inputs; ++input) {
          const __m256 value =
              _mm256_mul_ps(_mm256_i32gather_ps(values, codes[input], 4), factor[half]);
          _mm256_storeu_ps(reinterpret_cast<float*>(to + input * input_bytes) + 8 * half,
                           rounds ? rounded(value) : value);
        }
      }
    }
  }
}

}  // namespace hashep::expand
