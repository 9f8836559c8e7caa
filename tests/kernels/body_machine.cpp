// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/body_machine.hpp"

#include <cstring>

#include "kernels/ffn/activation_body.hpp"
#include "kernels/gate/gate_body.hpp"
#include "kernels/rows/add_bias_body.hpp"
#include "kernels/rows/add_rows_body.hpp"
#include "kernels/rows/combine_body.hpp"
#include "kernels/rows/scatter_body.hpp"
#include "tests/kernels/run_body.hpp"

namespace hashep::test {

void BodyMachine::write(std::byte* to, const void* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void BodyMachine::read(void* to, const std::byte* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void BodyMachine::scatter_rows(ConstMatrixView x, const ScatterPlan& plan) {
  const ScatterArguments arguments = scatter_arguments(x, plan);
  with_scatter_body(arguments, [&](auto body) {
    run_body<decltype(body)>(arguments, [&] { call_after_thread(); });
  });
}

void BodyMachine::combine_rows(const CombineInput& input, MatrixView y) {
  const CombineArguments arguments = combine_arguments(input, y);
  with_combine_body(arguments, [&](auto body) {
    run_body<decltype(body)>(arguments, [&] { call_after_thread(); });
  });
}

void BodyMachine::add_rows(ConstMatrixView y, MatrixView x) {
  const AddRowsArguments arguments = add_rows_arguments(y, x);
  with_add_rows_body(arguments, [&](auto body) {
    run_body<decltype(body)>(arguments, [&] { call_after_thread(); });
  });
}

void BodyMachine::gate_weights(ConstMatrixView x, ConstMatrixView gate,
                               std::span<const int32_t> experts, int top_k, float scale,
                               std::span<float> weights) {
  const GateArguments arguments = gate_arguments(x, gate, experts, top_k, scale, weights);
  with_gate_body(arguments, [&](auto body) {
    run_gate_body<decltype(body)>(arguments, [&] { call_after_thread(); });
  });
}

void BodyMachine::activate(const FfnShape& shape, const PreActivation& input, MatrixView out) {
  const ActivationArguments arguments = activation_arguments(shape, input, out);
  with_activation_body(arguments, [&](auto body) {
    run_body<decltype(body)>(arguments, [&] { call_after_thread(); });
  });
}

void BodyMachine::add_bias(const float* bias, MatrixView rows) {
  const AddBiasArguments arguments = add_bias_arguments(bias, rows);
  with_add_bias_body(arguments, [&](auto body) {
    run_body<decltype(body)>(arguments, [&] { call_after_thread(); });
  });
}

}  // namespace hashep::test
