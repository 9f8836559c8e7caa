// SPDX-License-Identifier: Apache-2.0
#include "kernels/argument_checks.hpp"

#include <string>

#include "kernels/require.hpp"

namespace hashep {
namespace {

bool is_activation_type(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16;
}

}  // namespace

void check_scatter(ConstMatrixView x, const ScatterPlan& plan) {
  require(std::ssize(plan.rows) == plan.num_tokens(x.rows) * plan.top_k &&
              plan.experts.size() == plan.rows.size(),
          "scatter_rows: rows or experts are not [tokens * top_k]");
}

void check_combine(const CombineInput& input, MatrixView y) {
  require(is_activation_type(y.dtype), "combine_rows: y is neither fp32 nor bf16");
  require(std::ssize(input.row_of) == y.rows * input.top_k &&
              input.experts.size() == input.row_of.size(),
          "combine_rows: row_of or experts are not [tokens * top_k]");
  require(input.weights.empty() || input.weights.size() == input.row_of.size(),
          "combine_rows: weights are not [tokens * top_k]");
  require(input.shared.rows == 0 || (input.shared.rows == y.rows && input.shared.cols == y.cols &&
                                     input.shared.dtype == y.dtype),
          "combine_rows: shared and y differ in shape or dtype");
}

void check_add(ConstMatrixView y, MatrixView x) {
  require(is_activation_type(x.dtype), "add_rows: x is neither fp32 nor bf16");
  require(x.rows == y.rows && x.cols == y.cols && x.dtype == y.dtype,
          "add_rows: x and y differ in shape or dtype");
}

void check_gate(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                int top_k, std::span<const float> weights) {
  require(is_activation_type(x.dtype), "gate_weights: x is neither fp32 nor bf16");
  require(gate.dtype == DType::f32 && (x.rows == 0 || x.cols == gate.cols),
          "gate_weights: gate is not [num_experts, d] in fp32");
  require(std::ssize(experts) == x.rows * top_k && weights.size() == experts.size(),
          "gate_weights: experts and weights are not [tokens * top_k]");
}

void check_activate(const FfnShape& shape, const PreActivation& input, MatrixView out) {
  const int64_t parts = shape.activation == Activation::silu ? 2 : 1;
  require(is_activation_type(input.rows.dtype) && is_activation_type(out.dtype),
          "activate: rows or out are neither fp32 nor bf16");
  require(out.cols == shape.ffn_size && input.rows.cols == parts * shape.ffn_size &&
              input.rows.rows == out.rows,
          "activate: rows or out are not of the shape's ffn_size");
  require(input.bias3 == nullptr || shape.activation == Activation::silu,
          "activate: bias3 is for silu (SwiGLU) only");
}

void check_add_bias(const float* bias, MatrixView rows) {
  require(is_activation_type(rows.dtype), "add_bias: rows are neither fp32 nor bf16");
  require(bias != nullptr || rows.rows == 0, "add_bias: there is no bias");
}

void check_flag_step(const PeerFlags& flags, const FlagStep& step) {
  const auto is_mark = [&](int mark) {
    return mark == FlagStep::kNone || (mark >= 0 && mark < flags.num_marks);
  };
  require(flags.rank >= 0 && flags.rank < flags.num_peers, "step_flags: rank is none of the peers");
  require(flags.own != nullptr && flags.peers != nullptr && flags.exchange != nullptr &&
              flags.status != nullptr,
          "step_flags: flags without memory");
  require(flags.deadline_ns > 0, "step_flags: no time to wait");
  require(is_mark(step.signal) && is_mark(step.wait), "step_flags: no such mark");
  require(step.lag >= 0, "step_flags: an exchange that is yet to begin");
}

void check_device_top_k(int top_k) {
  if (top_k >= 1 && top_k <= kMaxDeviceTopK) return;
  throw RunError("top_k = " + std::to_string(top_k) + ": a GPU takes 1 to " +
                 std::to_string(kMaxDeviceTopK) + " choices of a token");
}

}  // namespace hashep
