// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gemm_alone.hpp"

#include <array>
#include <cstring>
#include <limits>

#include "kernels/ffn/activation.hpp"
#include "kernels/gemm/onednn_call.hpp"
#include "kernels/gemm/onednn_compat.hpp"
#include "kernels/gemm/packed_linear_onednn.hpp"
#include "kernels/parallel.hpp"

namespace hashep::bench {
namespace {

dnnl::post_ops post_ops(const FfnShape& shape, bool up) {
  dnnl::post_ops ops;
  const float limit = shape.swiglu_limit;
  if (shape.activation != Activation::silu) {
    onednn::append_eltwise(ops,
                           shape.activation == Activation::relu ? dnnl::algorithm::eltwise_relu
                                                                : dnnl::algorithm::eltwise_gelu_erf,
                           0.0f, 0.0f);
    return ops;
  }
  if (limit > 0.0f) {
    onednn::append_eltwise(ops, dnnl::algorithm::eltwise_clip,
                           up ? -limit : std::numeric_limits<float>::lowest(), limit);
  }
  if (!up) onednn::append_eltwise(ops, dnnl::algorithm::eltwise_swish, 1.0f, 0.0f);
  return ops;
}

std::span<float> floats(Buffer& buffer, int64_t count) {
  return {reinterpret_cast<float*>(buffer.data()), static_cast<size_t>(count)};
}

}  // namespace

GemmAlone::GemmAlone(const FfnShape& shape, DType dtype, int64_t num_experts, int64_t rows,
                     int threads)
    : shape_(shape),
      dtype_(dtype),
      rows_(rows),
      engine_(dnnl::engine::kind::cpu, 0),
      operand_(OneDnnLinear::supports(engine_, dtype) ? dtype : DType::f32),
      x_(num_experts * rows * shape.hidden_size * dtype_size(operand_)),
      y_(num_experts * rows * shape.hidden_size * dtype_size(operand_)),
      experts_(num_experts),
      threads_(threads) {
  const OmpThreads one_thread(1);
  const int64_t d = shape.hidden_size;
  const int64_t f = shape.ffn_size;
  make_gemm(kGate, d, f, gated() ? DType::f32 : operand_);
  if (gated()) make_gemm(kUp, d, f, DType::f32);
  make_gemm(kDown, f, d, operand_);
  for (Thread& thread : threads_) {
    thread.stream = dnnl::stream(engine_);
    thread.gate = make_memory(descriptions_[kGate]->dst_desc(), thread.gate_storage);
    if (gated()) thread.up = make_memory(descriptions_[kUp]->dst_desc(), thread.up_storage);
    const dnnl::memory::desc hidden = descriptions_[kDown]->src_desc();
    thread.hidden =
        hidden == thread.gate.get_desc() ? thread.gate : make_memory(hidden, thread.hidden_storage);
    // The GEMMs of a thread share their scratchpad: first its full size, then its users.
    for (const auto& description : descriptions_) {
      if (!description.has_value()) continue;
      thread.scratch_storage.reserve(
          static_cast<int64_t>(description->scratchpad_desc().get_size()));
    }
    for (int gemm = 0; gemm < 3; ++gemm) {
      if (!descriptions_[gemm].has_value()) continue;
      thread.scratchpad[gemm] =
          make_memory(descriptions_[gemm]->scratchpad_desc(), thread.scratch_storage);
    }
  }
}

void GemmAlone::make_gemm(Gemm gemm, int64_t inputs, int64_t outputs, DType result) {
  const dnnl::memory::desc any({outputs, inputs}, onednn_type(operand_),
                               dnnl::memory::format_tag::any);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (gemm != kDown) attributes.set_post_ops(post_ops(shape_, gemm == kUp));
  descriptions_[gemm] = onednn::call("making an inner product", [&] {
    return onednn::inner_product(engine_, onednn_matrix(operand_, rows_, inputs), any, {},
                                 onednn_matrix(result, rows_, outputs), attributes);
  });
  gemms_[gemm].emplace(*descriptions_[gemm]);
}

dnnl::memory GemmAlone::make_memory(const dnnl::memory::desc& description, Buffer& storage) const {
  storage.reserve(static_cast<int64_t>(description.get_size()));
  return {description, engine_, storage.data()};
}

void GemmAlone::set_expert(int64_t index, const FfnWeights& weights) {
  Expert& expert = experts_[index];
  const std::array<ConstMatrixView, 3> matrices{weights.w1, weights.w3, weights.w2};
  dnnl::stream stream(engine_);
  for (size_t gemm = 0; gemm < matrices.size(); ++gemm) {
    const ConstMatrixView& matrix = matrices[gemm];
    if (matrix.rows == 0) continue;
    std::vector<float> values(matrix.rows * matrix.cols);
    convert_to_float(matrix.dtype, matrix.data, matrix.rows * matrix.cols, values.data());
    if (dtype_ == DType::bf16) round_to_bf16(values);
    dnnl::memory plain(onednn_matrix(DType::f32, matrix.rows, matrix.cols), engine_, values.data());
    // At the offset that ExpertFfn's weights have, or the yardstick would be the slower one.
    const dnnl::memory::desc packed = descriptions_[gemm]->weights_desc();
    const int64_t offset = packed_offset(packed);
    expert.storage[gemm].reserve(static_cast<int64_t>(packed.get_size()) + offset);
    expert.weights[gemm] = dnnl::memory(packed, engine_, expert.storage[gemm].data() + offset);
    dnnl::reorder(plain, expert.weights[gemm]).execute(stream, plain, expert.weights[gemm]);
    stream.wait();
  }
  const int64_t bytes = rows_ * shape_.hidden_size * dtype_size(operand_);
  const dnnl::memory::desc rows = onednn_matrix(operand_, rows_, shape_.hidden_size);
  expert.x = dnnl::memory(rows, engine_, x_.data() + index * bytes);
  expert.y = dnnl::memory(rows, engine_, y_.data() + index * bytes);
}

void GemmAlone::set_rows(ConstMatrixView x) {
  if (operand_ == dtype_) {
    std::memcpy(x_.data(), x.data, x.bytes());
  } else {
    convert_to_float(x.dtype, x.data, x.rows * x.cols, reinterpret_cast<float*>(x_.data()));
  }
}

void GemmAlone::run(bool whole) {
  parallel_items(
      std::ssize(experts_), static_cast<int>(threads_.size()),
      [&](int thread, int64_t expert) { run_expert(threads_[thread], experts_[expert], whole); });
}

void GemmAlone::run_expert(Thread& thread, const Expert& expert, bool whole) {
  const auto execute = [&](Gemm gemm, const dnnl::memory& source, const dnnl::memory& result) {
    const std::array<dnnl_exec_arg_t, 4> arguments{
        {{DNNL_ARG_SRC, source.get()},
         {DNNL_ARG_WEIGHTS, expert.weights[gemm].get()},
         {DNNL_ARG_DST, result.get()},
         {DNNL_ARG_SCRATCHPAD, thread.scratchpad[gemm].get()}}};
    dnnl_primitive_execute(gemms_[gemm]->get(), thread.stream.get(), arguments.size(),
                           arguments.data());
  };
  execute(kGate, expert.x, thread.gate);
  if (gated()) execute(kUp, expert.x, thread.up);
  if (whole) finish_hidden(thread);
  execute(kDown, thread.hidden, expert.y);
}

void GemmAlone::finish_hidden(Thread& thread) const {
  const int64_t count = rows_ * shape_.ffn_size;
  if (gated() && operand_ == DType::bf16) {
    multiply_to_bf16(
        floats(thread.gate_storage, count), floats(thread.up_storage, count),
        {reinterpret_cast<BFloat16*>(thread.hidden_storage.data()), static_cast<size_t>(count)});
    return;
  }
  if (gated()) multiply(floats(thread.up_storage, count), floats(thread.gate_storage, count));
  if (operand_ != dtype_) round_to_bf16(floats(thread.gate_storage, count));
}

std::vector<float> GemmAlone::result(int64_t row) const {
  const int64_t d = shape_.hidden_size;
  std::vector<float> values(d);
  convert_to_float(operand_, y_.data() + row * d * dtype_size(operand_), d, values.data());
  return values;
}

}  // namespace hashep::bench
