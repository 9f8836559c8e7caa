// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "kernels/argument_checks.hpp"
#include "kernels/ffn/row_tiling.hpp"
#include "kernels/gate/gate_scores.hpp"
#include "kernels/gate/sqrt_softplus.hpp"
#include "kernels/rows/wide_access.hpp"

namespace hashep {

inline constexpr int kLanes = 32;                           // a token's: one warp
inline constexpr int kGateTokens = kBlockThreads / kLanes;  // of a block
inline constexpr int64_t kLaneElements = 4;                 // neighbours that one lane sums

/// gate_weights on a GPU: what each thread reads. Pointers lead to GPU memory.
struct GateArguments {
  const std::byte* x = nullptr;
  const float* gate = nullptr;
  const int32_t* experts = nullptr;
  float* weights = nullptr;
  int64_t tokens = 0;
  int64_t d = 0;
  int top_k = 1;
  float scale = 1.0f;
  DType dtype = DType::f32;  // of x
  bool is_wide = false;      // all rows begin where a lane's elements can be read at once

  int64_t blocks() const { return (tokens + kGateTokens - 1) / kGateTokens; }
};

/// Checks the arguments of gate_weights, as check_gate and check_device_top_k do.
inline GateArguments gate_arguments(ConstMatrixView x, ConstMatrixView gate,
                                    std::span<const int32_t> experts, int top_k, float scale,
                                    std::span<float> weights) {
  check_device_top_k(top_k);
  check_gate(x, gate, experts, top_k, weights);
  widest_access(0, x.dtype, {x.data});  // for its check
  const bool is_wide = x.cols % kLaneElements == 0 &&
                       is_aligned(x.data, kLaneElements * (x.dtype == DType::bf16 ? 2 : 4)) &&
                       is_aligned(gate.data, kWidestAccess);
  return {.x = x.data,
          .gate = reinterpret_cast<const float*>(gate.data),
          .experts = experts.data(),
          .weights = weights.data(),
          .tokens = x.rows,
          .d = x.cols,
          .top_k = top_k,
          .scale = scale,
          .dtype = x.dtype,
          .is_wide = is_wide};
}

/// One block of gate_weights: a warp per token, whose x it reads once for kChoices choices (a token
/// may have fewer or more). Element i of d belongs to lane (i / 4) % 32 whatever the machine, the
/// alignment and the tokens beside: a logit's sum has one order for each d. Products are fused with
/// sums, by name, so that no choice of the compiler's is in the bits.
template <typename T, bool kWide, int kChoices>
struct GateBody {
  using Arguments = GateArguments;
  static constexpr int kSteps = kChoices >= 8 ? 1 : 8 / kChoices;  // on their way at once

  /// What the lanes of a warp tell each other.
  struct Shared {
    float partials[kGateTokens][kChoices][kLanes + 1];  // + 1: a column's readers in other banks
    float scores[kGateTokens][kMaxDeviceTopK];
  };

  /// Runs the threads of a block. each_thread(work) calls work(thread) for every thread, and comes
  /// back when those of a warp are all done.
  template <typename EachThread>
  HASHEP_HOST_DEVICE static void run_block(const Arguments& a, int64_t block, Shared& shared,
                                           const EachThread& each_thread) {
    for (int first = 0; first < a.top_k; first += kChoices) {
      each_thread([&](int thread) { sum_lane(a, block, thread, first, shared); });
      each_thread([&](int thread) { score(a, block, thread, first, shared); });
    }
    each_thread([&](int thread) { write(a, block, thread, shared); });
  }

 private:
  HASHEP_HOST_DEVICE static int64_t token_of(int64_t block, int thread) {
    return block * kGateTokens + thread / kLanes;
  }

  HASHEP_HOST_DEVICE static int32_t expert_of(const Arguments& a, int64_t token, int choice) {
    return choice < a.top_k ? a.experts[token * a.top_k + choice] : -1;
  }

  /// The lane's part of the logits of kChoices choices.
  HASHEP_HOST_DEVICE static void sum_lane(const Arguments& a, int64_t block, int thread, int first,
                                          Shared& shared) {
    const int64_t token = token_of(block, thread);
    if (token >= a.tokens) return;
    const float* rows[kChoices];
    const float* any = nullptr;
    HASHEP_UNROLL
    for (int c = 0; c < kChoices; ++c) {
      const int32_t expert = expert_of(a, token, first + c);
      rows[c] = expert < 0 ? nullptr : a.gate + expert * a.d;
      if (any == nullptr) any = rows[c];
    }
    if (any == nullptr) return;
    // A choice without an expert sums another one's row, for nothing: cheaper than a branch.
    HASHEP_UNROLL
    for (int c = 0; c < kChoices; ++c) rows[c] = rows[c] == nullptr ? any : rows[c];

    const int lane = thread % kLanes;
    const T* const x = reinterpret_cast<const T*>(a.x) + token * a.d;
    float sums[kChoices] = {};
    int64_t i = lane * kLaneElements;
    for (; i + (kSteps - 1) * kStride + kLaneElements <= a.d; i += kSteps * kStride) {
      add_steps<kSteps>(x, rows, i, sums);
    }
    for (; i + kLaneElements <= a.d; i += kStride) add_steps<1>(x, rows, i, sums);
    for (; i < a.d; ++i) {  // only one lane's last elements are fewer than kLaneElements
      const auto value = static_cast<float>(x[i]);
      HASHEP_UNROLL
      for (int c = 0; c < kChoices; ++c) sums[c] = fmaf(value, rows[c][i], sums[c]);
    }
    HASHEP_UNROLL
    for (int c = 0; c < kChoices; ++c) shared.partials[thread / kLanes][c][lane] = sums[c];
  }

  static constexpr int64_t kStride = kLanes * kLaneElements;

  template <typename U>
  HASHEP_HOST_DEVICE static void load_lane(const U* from, float (&out)[kLaneElements]) {
    if constexpr (kWide) {
      load_floats<U, kLaneElements>(from, out);
    } else {
      HASHEP_UNROLL
      for (int e = 0; e < kLaneElements; ++e) out[e] = static_cast<float>(from[e]);
    }
  }

  template <int kCount>
  HASHEP_HOST_DEVICE static void add_steps(const T* x, const float* const (&rows)[kChoices],
                                           int64_t i, float (&sums)[kChoices]) {
    float values[kCount][kLaneElements];
    float factors[kCount][kChoices][kLaneElements];
    HASHEP_UNROLL
    for (int s = 0; s < kCount; ++s) {
      load_lane(x + i + s * kStride, values[s]);
      HASHEP_UNROLL
      for (int c = 0; c < kChoices; ++c) load_lane(rows[c] + i + s * kStride, factors[s][c]);
    }
    HASHEP_UNROLL
    for (int s = 0; s < kCount; ++s) {
      HASHEP_UNROLL
      for (int c = 0; c < kChoices; ++c) {
        HASHEP_UNROLL
        for (int e = 0; e < kLaneElements; ++e) {
          sums[c] = fmaf(values[s][e], factors[s][c][e], sums[c]);
        }
      }
    }
  }

  /// Lane c sums choice c's parts in the lanes' order.
  HASHEP_HOST_DEVICE static void score(const Arguments& a, int64_t block, int thread, int first,
                                       Shared& shared) {
    const int64_t token = token_of(block, thread);
    const int choice = first + thread % kLanes;
    if (token >= a.tokens || thread % kLanes >= kChoices || choice >= a.top_k) return;
    const int warp = thread / kLanes;
    float logit = 0.0f;
    if (expert_of(a, token, choice) < 0) {
      shared.scores[warp][choice] = 0.0f;
      return;
    }
    HASHEP_UNROLL
    for (int lane = 0; lane < kLanes; ++lane) {
      logit += shared.partials[warp][thread % kLanes][lane];
    }
    shared.scores[warp][choice] = sqrt_softplus(logit);
  }

  HASHEP_HOST_DEVICE static void write(const Arguments& a, int64_t block, int thread,
                                       const Shared& shared) {
    const int64_t token = token_of(block, thread);
    if (token >= a.tokens) return;
    const float(&scores)[kMaxDeviceTopK] = shared.scores[thread / kLanes];
    float sum = 0.0f;
    for (int choice = 0; choice < a.top_k; ++choice) sum += scores[choice];
    for (int choice = thread % kLanes; choice < a.top_k; choice += kLanes) {
      a.weights[token * a.top_k + choice] = normalised_score(scores[choice], sum, a.scale);
    }
  }
};

/// Calls launch(body) with the body that fits the arguments; not at all where nothing is to do.
template <typename Launch>
void with_gate_body(const GateArguments& a, const Launch& launch) {
  if (a.blocks() == 0) return;
  with_activation_type(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (!a.is_wide) return launch(GateBody<T, false, 8>{});
    if (a.top_k == 1) return launch(GateBody<T, true, 1>{});
    if (a.top_k == 2) return launch(GateBody<T, true, 2>{});
    if (a.top_k <= 4) return launch(GateBody<T, true, 4>{});
    if (a.top_k <= 6) return launch(GateBody<T, true, 6>{});
    return launch(GateBody<T, true, 8>{});
  });
}

}  // namespace hashep
