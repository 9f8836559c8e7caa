// SPDX-License-Identifier: Apache-2.0
// What stands in for kernels/*_cuda.cu: the same functions on the same bodies, run by the CPU over
// all blocks and threads of the launch, in the order of the stand-in's streams.
#include <span>
#include <utility>

#include "core/cuda/check_cuda.hpp"
#include "kernels/ffn/activation_body.hpp"
#include "kernels/gate/gate_body.hpp"
#include "kernels/rows/add_bias_body.hpp"
#include "kernels/rows/add_rows_body.hpp"
#include "kernels/rows/combine_body.hpp"
#include "kernels/rows/scatter_body.hpp"
#include "tests/kernels/run_body.hpp"
#include "tests/standin/standin.hpp"

namespace hashep {
namespace {

using test::standin::MemoryRange;
using test::standin::MemoryRanges;

template <typename T>
MemoryRange range(std::span<T> values) {
  return {values.data(), static_cast<int64_t>(values.size_bytes())};
}
MemoryRange range(ConstMatrixView matrix) {
  return {matrix.data, matrix.bytes()};
}
MemoryRange range(const float* values, int64_t count) {
  return {values, values == nullptr ? 0 : count * dtype_size(DType::f32)};
}

/// Queues `work` as a kernel. It owns its arguments; what they point to is "GPU memory".
template <typename Work>
void launch(DeviceStream stream, const char* function, Work work, MemoryRanges memory) {
  const int code = test::standin::enqueue(stream, std::move(work), std::move(memory));
  check_cuda(static_cast<cudaError_t>(code), function);
}

/// What launch_body does (kernels/launch.cuh).
template <typename Body>
void launch_body(const typename Body::Arguments& arguments, DeviceStream stream,
                 const char* function, MemoryRanges memory) {
  launch(
      stream, function, [arguments] { test::run_body<Body>(arguments); }, std::move(memory));
}

}  // namespace

void scatter_rows(ConstMatrixView x, const ScatterPlan& plan, DeviceStream stream) {
  const ScatterArguments arguments = scatter_arguments(x, plan);
  with_scatter_body(arguments, [&](auto body) {
    launch_body<decltype(body)>(
        arguments, stream, "scatter_rows",
        {range(x), range(plan.experts), range(plan.rows), range(plan.places)});
  });
}

void combine_rows(const CombineInput& input, MatrixView y, DeviceStream stream) {
  const CombineArguments arguments = combine_arguments(input, y);
  with_combine_body(arguments, [&](auto body) {
    launch_body<decltype(body)>(arguments, stream, "combine_rows",
                                {range(input.places), range(input.experts), range(input.row_of),
                                 range(input.weights), range(input.shared), range(y)});
  });
}

void add_rows(ConstMatrixView y, MatrixView x, DeviceStream stream) {
  const AddRowsArguments arguments = add_rows_arguments(y, x);
  with_add_rows_body(arguments, [&](auto body) {
    launch_body<decltype(body)>(arguments, stream, "add_rows", {range(y), range(x)});
  });
}

void activate(const FfnShape& shape, const PreActivation& input, MatrixView out,
              DeviceStream stream) {
  const ActivationArguments arguments = activation_arguments(shape, input, out);
  with_activation_body(arguments, [&](auto body) {
    launch_body<decltype(body)>(arguments, stream, "activate",
                                {range(input.rows), range(input.bias1, shape.ffn_size),
                                 range(input.bias3, shape.ffn_size), range(out)});
  });
}

void add_bias(const float* bias, MatrixView rows, DeviceStream stream) {
  const AddBiasArguments arguments = add_bias_arguments(bias, rows);
  with_add_bias_body(arguments, [&](auto body) {
    launch_body<decltype(body)>(arguments, stream, "add_bias",
                                {range(bias, rows.cols), range(rows)});
  });
}

void gate_weights(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                  int top_k, float scale, std::span<float> weights, DeviceStream stream) {
  const GateArguments arguments = gate_arguments(x, gate, experts, top_k, scale, weights);
  with_gate_body(arguments, [&](auto body) {
    launch(stream, "gate_weights", [arguments] { test::run_gate_body<decltype(body)>(arguments); },
           {range(x), range(gate), range(experts), range(weights)});
  });
}

}  // namespace hashep
