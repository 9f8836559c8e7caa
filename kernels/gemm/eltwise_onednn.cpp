// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/eltwise_onednn.hpp"

#include <array>
#include <utility>

#include "kernels/gemm/onednn_call.hpp"
#include "kernels/gemm/onednn_compat.hpp"
#include "kernels/parallel.hpp"

namespace hashep {

OneDnnEltwise::OneDnnEltwise(const dnnl::engine& engine, std::vector<PostOp> ops, int threads)
    : engine_(engine), ops_(std::move(ops)) {
  onednn::call("making streams", [&] {
    for (int thread = 0; thread < threads; ++thread) streams_.emplace_back(engine_);
  });
}

void OneDnnEltwise::make_ready(int64_t count) {
  if (ops_.empty() || kernels_.contains(count)) return;
  const OmpThreads one_thread(1);
  Kernel kernel;
  onednn::call("making an element-wise function", [&] {
    const dnnl::memory::desc values({count}, dnnl::memory::data_type::f32,
                                    dnnl::memory::format_tag::a);
    for (const PostOp& op : ops_) {
      kernel.primitives.emplace_back(
          onednn::eltwise(engine_, op.algorithm, values, op.alpha, op.beta));
    }
    for (size_t thread = 0; thread < streams_.size(); ++thread) {
      kernel.handles.push_back(dnnl::memory(values, engine_, DNNL_MEMORY_NONE));
    }
  });
  kernels_.emplace(count, std::move(kernel));
}

void OneDnnEltwise::run(int thread, int64_t count, float* values) const {
  if (ops_.empty()) return;
  const Kernel& kernel = kernels_.at(count);
  const dnnl::memory& handle = kernel.handles[thread];
  onednn::call("setting the address of values", [&] { handle.set_data_handle(values); });
  for (const dnnl::eltwise_forward& primitive : kernel.primitives) {
    const std::array<dnnl_exec_arg_t, 2> arguments{
        {{DNNL_ARG_SRC, handle.get()}, {DNNL_ARG_DST, handle.get()}}};
    onednn::check(dnnl_primitive_execute(primitive.get(), streams_[thread].get(),
                                         static_cast<int>(arguments.size()), arguments.data()),
                  "executing an element-wise function");
  }
}

OneDnnEltwiseGradient::OneDnnEltwiseGradient(const dnnl::engine& engine, const PostOp& op,
                                             int64_t count, int threads) {
  const OmpThreads one_thread(1);
  onednn::call("making the gradient of an element-wise function", [&] {
    const dnnl::memory::desc values({count}, dnnl::memory::data_type::f32,
                                    dnnl::memory::format_tag::a);
    primitive_ = dnnl::eltwise_backward(
        onednn::eltwise_gradient(engine, op.algorithm, values, op.alpha, op.beta));
    for (int thread = 0; thread < threads; ++thread) {
      streams_.emplace_back(engine);
      handles_.push_back({dnnl::memory(values, engine, DNNL_MEMORY_NONE),
                          dnnl::memory(values, engine, DNNL_MEMORY_NONE)});
    }
  });
}

void OneDnnEltwiseGradient::run(int thread, const float* values, float* gradients) const {
  const Handles& handles = handles_[thread];
  onednn::call("setting the address of values", [&] {
    // oneDNN takes a mutable address for what it only reads.
    handles.values.set_data_handle(const_cast<float*>(values));
    handles.gradients.set_data_handle(gradients);
  });
  const std::array<dnnl_exec_arg_t, 3> arguments{{{DNNL_ARG_SRC, handles.values.get()},
                                                  {DNNL_ARG_DIFF_DST, handles.gradients.get()},
                                                  {DNNL_ARG_DIFF_SRC, handles.gradients.get()}}};
  onednn::check(dnnl_primitive_execute(primitive_.get(), streams_[thread].get(),
                                       static_cast<int>(arguments.size()), arguments.data()),
                "executing the gradient of an element-wise function");
}

}  // namespace hashep
