// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/argument_checks.hpp"
#include "kernels/ffn/row_tiling.hpp"
#include "kernels/host_device.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/expert_place.hpp"
#include "kernels/rows/wide_access.hpp"

namespace hashep {

/// a * b, rounded to nearest: no compiler fuses it with a sum that it goes into, whatever its flags
/// (nvcc fuses by default). For kernels that promise the bits of the CPU's.
HASHEP_HOST_DEVICE inline float rounded_product(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  const volatile float product = a * b;
  return product;
#endif
}

/// combine_rows on a GPU: what each thread reads. Pointers lead to GPU memory.
struct CombineArguments {
  const ExpertPlace* places = nullptr;
  const int32_t* experts = nullptr;
  const int64_t* row_of = nullptr;
  const float* weights = nullptr;     // null: equal_weight
  const std::byte* shared = nullptr;  // null: none
  std::byte* y = nullptr;
  int64_t row_bytes = 0;
  int top_k = 1;
  float equal_weight = 1.0f;
  bool is_copy = false;  // one row, unscaled: its bits as they are
  DType dtype = DType::f32;
  int access_bytes = kWidestAccess;
  RowTiling tiling;  // of tokens

  int64_t blocks() const { return tiling.blocks(); }
};

/// Checks the arguments of combine_rows, as check_combine and check_device_top_k do.
inline CombineArguments combine_arguments(const CombineInput& input, MatrixView y) {
  check_device_top_k(input.top_k);
  check_combine(input, y);
  const std::byte* const shared = input.shared.rows == 0 ? nullptr : input.shared.data;
  const int access_bytes = widest_access(y.row_bytes(), y.dtype, {y.data, shared});
  return {.places = input.places.data(),
          .experts = input.experts.data(),
          .row_of = input.row_of.data(),
          .weights = input.weights.empty() ? nullptr : input.weights.data(),
          .shared = shared,
          .y = y.data,
          .row_bytes = y.row_bytes(),
          .top_k = input.top_k,
          .equal_weight = 1.0f / static_cast<float>(input.top_k),
          .is_copy = input.top_k == 1 && input.weights.empty() && shared == nullptr,
          .dtype = y.dtype,
          .access_bytes = access_bytes,
          .tiling = tile_rows(y.rows, y.row_bytes() / access_bytes)};
}

inline constexpr int kMostChoices = 8;  // whose rows are on their way at once

/// One thread of combine_rows: its part of a row of y, in accesses of kBytes, of tokens of up to
/// kChoices choices, or of any number where that is kMostChoices.
template <typename T, int kBytes, int kChoices>
struct CombineBody {
  using Arguments = CombineArguments;
  static constexpr int kSteps = kChoices == 1 ? 4 : kChoices == 2 ? 2 : 1;
  static constexpr int kElements = kBytes / static_cast<int>(sizeof(T));  // of a step

  HASHEP_HOST_DEVICE static void run(const Arguments& a, int64_t block, int thread) {
    const RowPosition at = a.tiling.position(block, thread);
    if (at.row >= a.tiling.rows) return;
    const int64_t stride = int64_t{a.tiling.row_threads()} * kBytes;
    const Choices first = choices_of(a, at.row, 0);
    for (int64_t offset = at.step * kBytes; offset < a.row_bytes; offset += kSteps * stride) {
      combine_steps(a, at.row, first, offset, stride);
    }
  }

 private:
  /// Some choices of one token. A choice without a row has none.
  struct Choices {
    const std::byte* rows[kChoices];
    float weights[kChoices];
  };
  struct Sums {
    float values[kElements] = {};
  };

  HASHEP_HOST_DEVICE static Choices choices_of(const Arguments& a, int64_t token, int first) {
    Choices choices;
    HASHEP_UNROLL
    for (int c = 0; c < kChoices; ++c) {
      choices.rows[c] = nullptr;
      choices.weights[c] = a.equal_weight;
      if (first + c >= a.top_k) continue;
      const int64_t assignment = token * a.top_k + first + c;
      const int64_t row = a.row_of[assignment];
      if (row < 0) continue;
      const ExpertPlace place = a.places[a.experts[assignment]];
      choices.rows[c] = place.row(row, a.row_bytes);
      if (a.weights != nullptr) choices.weights[c] = a.weights[assignment];
    }
    return choices;
  }

  HASHEP_HOST_DEVICE static void combine_steps(const Arguments& a, int64_t token,
                                               const Choices& first, int64_t offset,
                                               int64_t stride) {
    Chunk<kBytes> loaded[kSteps][kChoices] = {};
    Chunk<kBytes> shared[kSteps] = {};
    HASHEP_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      const int64_t here = offset + s * stride;
      if (here >= a.row_bytes) continue;
      load_choices(first, here, loaded[s]);
      if (a.shared != nullptr) {
        shared[s] = load_chunk<kBytes>(a.shared + token * a.row_bytes + here);
      }
    }
    std::byte* const y = a.y + token * a.row_bytes;
    HASHEP_UNROLL
    for (int s = 0; s < kSteps; ++s) {
      const int64_t here = offset + s * stride;
      if (here >= a.row_bytes) continue;
      if (first.rows[0] == nullptr) {
        store_chunk<kBytes>(Chunk<kBytes>{}, y + here);
      } else if (a.is_copy) {
        store_chunk<kBytes>(loaded[s][0], y + here);
      } else {
        Sums sums;
        add_choices(first, true, loaded[s], sums);
        add_further_choices(a, token, here, sums);
        if (a.shared != nullptr) add_scaled(shared[s], 1.0f, sums);
        store_chunk<kBytes>(from_floats<T, kElements>(sums.values), y + here);
      }
    }
  }

  HASHEP_HOST_DEVICE static void add_further_choices(const Arguments& a, int64_t token,
                                                     int64_t offset, Sums& sums) {
    if constexpr (kChoices == kMostChoices) {
      for (int first = kChoices; first < a.top_k; first += kChoices) {
        const Choices choices = choices_of(a, token, first);
        Chunk<kBytes> loaded[kChoices] = {};
        load_choices(choices, offset, loaded);
        add_choices(choices, false, loaded, sums);
      }
    }
  }

  HASHEP_HOST_DEVICE static void load_choices(const Choices& choices, int64_t offset,
                                              Chunk<kBytes> (&loaded)[kChoices]) {
    HASHEP_UNROLL
    for (int c = 0; c < kChoices; ++c) {
      if (choices.rows[c] != nullptr) loaded[c] = load_chunk<kBytes>(choices.rows[c] + offset);
    }
  }

  /// Sums in the order of the choices, products and sums rounded apart as on the CPU; they begin
  /// with the token's first one, not with zero.
  HASHEP_HOST_DEVICE static void add_choices(const Choices& choices, bool begins,
                                             const Chunk<kBytes> (&loaded)[kChoices], Sums& sums) {
    HASHEP_UNROLL
    for (int c = 0; c < kChoices; ++c) {
      if (choices.rows[c] == nullptr) continue;
      if (begins && c == 0) {
        set_scaled(loaded[c], choices.weights[c], sums);
      } else {
        add_scaled(loaded[c], choices.weights[c], sums);
      }
    }
  }

  HASHEP_HOST_DEVICE static void set_scaled(const Chunk<kBytes>& chunk, float weight, Sums& sums) {
    float values[kElements];
    to_floats<T, kElements>(chunk, values);
    HASHEP_UNROLL
    for (int i = 0; i < kElements; ++i) sums.values[i] = rounded_product(weight, values[i]);
  }

  HASHEP_HOST_DEVICE static void add_scaled(const Chunk<kBytes>& chunk, float weight, Sums& sums) {
    float values[kElements];
    to_floats<T, kElements>(chunk, values);
    HASHEP_UNROLL
    for (int i = 0; i < kElements; ++i) sums.values[i] += rounded_product(weight, values[i]);
  }
};

/// Calls launch(body) with the body that fits the arguments; not at all where nothing is to do.
template <typename Launch>
void with_combine_body(const CombineArguments& a, const Launch& launch) {
  if (a.blocks() == 0) return;
  with_activation_type(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (a.access_bytes == 16) {
      if (a.top_k == 1) return launch(CombineBody<T, 16, 1>{});
      if (a.top_k == 2) return launch(CombineBody<T, 16, 2>{});
      if (a.top_k <= 4) return launch(CombineBody<T, 16, 4>{});
      if (a.top_k <= 6) return launch(CombineBody<T, 16, 6>{});
      return launch(CombineBody<T, 16, kMostChoices>{});
    }
    if (a.access_bytes == 8) return launch(CombineBody<T, 8, kMostChoices>{});
    if (a.access_bytes == 4) return launch(CombineBody<T, 4, kMostChoices>{});
    if constexpr (sizeof(T) == 2) return launch(CombineBody<T, 2, kMostChoices>{});
  });
}

}  // namespace hashep
