// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/ffn/activation.hpp"
#include "kernels/gate/gate_scores.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/peer_flags.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {

// The shapes that the kernels ask for, on the CPU and on a GPU. Each throws RunError naming the
// function and what does not fit; none reads what the arguments point to.

void check_scatter(ConstMatrixView x, const ScatterPlan& plan);
void check_combine(const CombineInput& input, MatrixView y);
void check_add(ConstMatrixView y, MatrixView x);
void check_gate(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                int top_k, std::span<const float> weights);
void check_activate(const FfnShape& shape, const PreActivation& input, MatrixView out);
void check_add_bias(const float* bias, MatrixView rows);
void check_flag_step(const PeerFlags& flags, const FlagStep& step);

/// What holds on a GPU alone: 1 <= top_k <= kMaxDeviceTopK.
void check_device_top_k(int top_k);

}  // namespace hashep
