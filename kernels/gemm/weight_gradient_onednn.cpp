// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/weight_gradient_onednn.hpp"

#include <algorithm>

#include "kernels/gemm/onednn_call.hpp"
#include "kernels/gemm/onednn_compat.hpp"
#include "kernels/gemm/packed_linear_onednn.hpp"
#include "kernels/parallel.hpp"

namespace hashep {

WeightGradientGemm::WeightGradientGemm(const dnnl::engine& engine, int64_t outputs, int64_t inputs,
                                       DType operand, int threads)
    : engine_(engine), outputs_(outputs), inputs_(inputs), operand_(operand) {
  const OmpThreads one_thread(1);
  onednn::call("making a product for gradients of weights", [&] {
    for (int thread = 0; thread < threads; ++thread) streams_.emplace_back(engine_);
    gradients_.resize(threads);
    for (const Width width : {kFull, kRest}) {
      const int64_t block = width_of(width);
      if (block == 0) continue;
      const auto type = onednn_type(operand_);
      const dnnl::memory::dim any_rows = DNNL_RUNTIME_DIM_VAL;
      const dnnl::memory::desc left({block, any_rows}, type, dnnl::memory::dims{1, outputs_});
      const dnnl::memory::desc right({any_rows, inputs_}, type, dnnl::memory::dims{inputs_, 1});
      const dnnl::memory::desc result = onednn_matrix(DType::f32, block, inputs_);
      dnnl::post_ops adds;
      adds.append_sum(1.0f);
      dnnl::primitive_attr attributes;
      attributes.set_post_ops(adds);
      products_[width] = dnnl::matmul(onednn::matmul(engine_, left, right, result, attributes));
      for (auto& of_thread : gradients_) {
        of_thread[width] = dnnl::memory(result, engine_, DNNL_MEMORY_NONE);
      }
    }
  });
}

int64_t WeightGradientGemm::width_of(Width width) const {
  const int64_t full = std::min(outputs_, kBlockOutputs);
  return width == kFull ? full : outputs_ % full;
}

void WeightGradientGemm::make_ready(int64_t rows) {
  auto& of_rows = handles_[rows];
  if (!of_rows.empty()) return;
  onednn::call("describing a chunk of rows", [&] {
    const auto handle = [&](const dnnl::memory::desc& matrix) {
      return dnnl::memory(matrix, engine_, DNNL_MEMORY_NONE);
    };
    for (size_t thread = 0; thread < streams_.size(); ++thread) {
      Handles handles;
      for (const Width width : {kFull, kRest}) {
        const int64_t block = width_of(width);
        if (block == 0) continue;
        handles.outputs[width] =
            handle({{block, rows}, onednn_type(operand_), dnnl::memory::dims{1, outputs_}});
      }
      handles.inputs = handle(onednn_matrix(operand_, rows, inputs_));
      of_rows.push_back(std::move(handles));
    }
  });
}

void WeightGradientGemm::run(int thread, int64_t block, int64_t rows, const std::byte* outputs,
                             const std::byte* inputs, float* gradient) const {
  const int64_t first = block * kBlockOutputs;
  const Width width = std::min(kBlockOutputs, outputs_ - first) == width_of(kFull) ? kFull : kRest;
  const Handles& handles = handles_.at(rows)[thread];
  const dnnl::memory& result = gradients_[thread][width];
  onednn::call("setting the address of a chunk", [&] {
    // oneDNN takes mutable addresses for what it only reads.
    handles.outputs[width].set_data_handle(
        const_cast<std::byte*>(outputs + first * dtype_size(operand_)));
    handles.inputs.set_data_handle(const_cast<std::byte*>(inputs));
    result.set_data_handle(gradient + first * inputs_);
  });
  const std::array<dnnl_exec_arg_t, 3> arguments{{{DNNL_ARG_SRC, handles.outputs[width].get()},
                                                  {DNNL_ARG_WEIGHTS, handles.inputs.get()},
                                                  {DNNL_ARG_DST, result.get()}}};
  onednn::check(dnnl_primitive_execute(products_[width].get(), streams_[thread].get(),
                                       static_cast<int>(arguments.size()), arguments.data()),
                "executing a product for gradients of weights");
}

}  // namespace hashep
