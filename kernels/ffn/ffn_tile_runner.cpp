// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/ffn_tile_runner.hpp"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "kernels/ffn/activation.hpp"
#include "kernels/ffn/tiles.hpp"
#include "kernels/gemm/gemm_maker.hpp"

namespace hashep {
namespace {

std::vector<PostOp> gate_post_ops(const FfnShape& shape) {
  switch (shape.activation) {
    case Activation::relu:
      return {{dnnl::algorithm::eltwise_relu}};
    case Activation::gelu:
      return {{dnnl::algorithm::eltwise_gelu_erf}};
    case Activation::silu:
      break;
  }
  std::vector<PostOp> ops;
  if (shape.swiglu_limit > 0.0f) {
    constexpr float kNoBound = std::numeric_limits<float>::lowest();
    ops.push_back({dnnl::algorithm::eltwise_clip, kNoBound, shape.swiglu_limit});
  }
  ops.push_back({dnnl::algorithm::eltwise_swish, 1.0f});
  return ops;
}

std::vector<PostOp> up_post_ops(const FfnShape& shape) {
  if (shape.swiglu_limit <= 0.0f) return {};
  return {{dnnl::algorithm::eltwise_clip, -shape.swiglu_limit, shape.swiglu_limit}};
}

template <typename T>
std::span<T> elements(Buffer& buffer, int64_t count) {
  return {reinterpret_cast<T*>(buffer.data()), static_cast<size_t>(count)};
}

std::string describe_dtype(DType dtype, bool emulates_bf16) {
  if (dtype == DType::f32) return "fp32";
  return emulates_bf16 ? "bf16 computed in fp32" : "bf16 native";
}

}  // namespace

int64_t PackedExpert::bytes() const {
  int64_t sum = 0;
  for (const Linear& linear : linears_) {
    sum += linear.weights == nullptr ? 0 : linear.weights->bytes();
  }
  return sum;
}

FfnTileRunner::FfnTileRunner(const FfnShape& shape, DType dtype, int threads, GemmLibrary library)
    : shape_(shape),
      dtype_(dtype),
      maker_(library, dtype, threads),
      operand_(maker_.operand()),
      gemm_rows_(kMostTileRows + 1),
      threads_(threads) {
  std::vector<std::unique_ptr<PackedLinear>> gemms(kGemms);
  const auto make = [&](Gemm gemm, int64_t inputs, int64_t outputs, DType result,
                        std::vector<PostOp> post_ops) {
    specs_[gemm] = {inputs, outputs, operand_, result, std::move(post_ops)};
    gemms[gemm] = maker_.make(specs_[gemm]);
  };
  const int64_t d = shape.hidden_size;
  const int64_t f = shape.ffn_size;
  make(kGate, d, f, gate_type(), gate_post_ops(shape));
  if (gated()) make(kUp, d, f, DType::f32, up_post_ops(shape));
  make(kDown, f, d, operand_, {});
  gemms_.emplace(std::move(gemms));
  implementation_ =
      (*gemms_)[kGate].implementation() + ", " + describe_dtype(dtype, emulates_bf16());
}

void FfnTileRunner::pack(const FfnWeights& weights, PackedExpert& expert) {
  const QuantisedFfn& quantised = weights.quantised;
  auto& linears = expert.linears_;
  pack(kGate, weights.w1, quantised.w1, weights.bias1, linears[kGate]);
  if (gated()) pack(kUp, weights.w3, quantised.w3, weights.bias3, linears[kUp]);
  pack(kDown, weights.w2, quantised.w2, weights.bias2, linears[kDown]);
}

void FfnTileRunner::pack(Gemm gemm, ConstMatrixView weights, const QuantisedView& quantised,
                         ConstMatrixView bias, PackedExpert::Linear& linear) {
  const bool is_quantised = quantised.rows > 0;
  const bool is_kept = linear.weights != nullptr && linear.is_quantised == is_quantised;
  linear.is_quantised = is_quantised;
  if (is_quantised) {
    const QuantisedLinear& by = quantised_gemm(gemm);
    if (is_kept) return by.repack(quantised, bias, *linear.weights);
    linear.weights = by.pack(quantised, bias);
    return;
  }
  const PackedLinear& by = (*gemms_)[gemm];
  if (!is_kept) linear.weights = by.make_weights();
  Buffer scratch;
  by.repack(weights, bias, dtype_, *linear.weights, scratch);
}

void FfnTileRunner::expect_quantised() {
  for (const Gemm gemm : {kGate, kUp, kDown}) {
    if (gemm != kUp || gated()) quantised_gemm(gemm);
  }
}

QuantisedLinear& FfnTileRunner::quantised_gemm(Gemm gemm) {
  auto& made = quantised_gemms_[gemm];
  if (made != nullptr) return *made;
  made = std::make_unique<QuantisedLinear>(maker_, specs_[gemm], dtype_, std::ssize(threads_));
  // For tiles that others were made for before.
  for (int64_t rows = 1; rows <= kMostTileRows; ++rows) {
    if (gemms_->rows(rows) != 0) made->make_ready(gemms_->rows(rows));
    if (gemm_rows_[rows] == 0) continue;
    for (Thread& thread : threads_) reserve(thread, gemm_rows_[rows]);
  }
  return *made;
}

void FfnTileRunner::make_kernels(int64_t rows) {
  gemms_->make_kernels(rows);
  for (const auto& gemm : quantised_gemms_) {
    if (gemm != nullptr) gemm->make_ready(gemms_->rows(rows));
  }
}

void FfnTileRunner::make_ready(int64_t rows) {
  int64_t& gemm_rows = gemm_rows_[rows];
  if (gemm_rows != 0) return;
  make_kernels(rows);
  const int64_t wanted = gemms_->rows(rows);
  for (Thread& thread : threads_) reserve(thread, wanted);
  gemm_rows = wanted;
}

void FfnTileRunner::reserve(Thread& thread, int64_t rows) const {
  const int64_t d = shape_.hidden_size;
  const int64_t f = shape_.ffn_size;
  thread.rows.reserve(rows * d * dtype_size(operand_));
  thread.gate.reserve(rows * f * dtype_size(gate_type()));
  if (gated()) thread.up.reserve(rows * f * dtype_size(DType::f32));
  if (gate_type() != operand_) thread.hidden.reserve(rows * f * dtype_size(operand_));
  thread.scratch.reserve(gemms_->scratch_bytes(rows));
  for (const auto& gemm : quantised_gemms_) {
    if (gemm != nullptr) thread.scratch.reserve(gemm->scratch_bytes(rows));
  }
}

void FfnTileRunner::run(int thread_index, const PackedExpert& expert, const TileRows& tile) {
  Thread& thread = threads_[thread_index];
  const int64_t rows = tile.gemm_rows;
  const bool whole = tile.x.rows == rows && !emulates_bf16();
  const auto execute = [&](Gemm gemm, const std::byte* x, std::byte* y) {
    const PackedExpert::Linear& linear = expert.linears_[gemm];
    const PackedLinear::Call call{
        .weights = *linear.weights, .rows = rows, .x = x, .y = y, .scratch = thread.scratch.data()};
    if (linear.is_quantised) {
      quantised_gemms_[gemm]->run(thread_index, call);
    } else {
      (*gemms_)[gemm].run(thread_index, call);
    }
  };

  const std::byte* x =
      whole ? tile.x.data : stage_rows(tile.x, tile.first, rows, operand_, thread.rows);
  execute(kGate, x, thread.gate.data());
  if (gated()) execute(kUp, x, thread.up.data());
  activate(thread, rows);
  const Buffer& hidden = gate_type() == operand_ ? thread.gate : thread.hidden;
  execute(kDown, hidden.data(), whole ? tile.out.data : thread.rows.data());
  if (!whole) unstage_rows(thread.rows, tile.first, operand_, tile.out);
}

/// What the GEMMs' post-ops left undone on the way to the hidden activation.
void FfnTileRunner::activate(Thread& thread, int64_t rows) const {
  const int64_t count = rows * shape_.ffn_size;
  if (gated() && operand_ == DType::bf16) {
    multiply_to_bf16(elements<float>(thread.gate, count), elements<float>(thread.up, count),
                     elements<BFloat16>(thread.hidden, count));
    return;
  }
  if (gated()) multiply(elements<float>(thread.up, count), elements<float>(thread.gate, count));
  if (emulates_bf16()) round_to_bf16(elements<float>(thread.gate, count));
}

int64_t FfnTileRunner::scratch_bytes() const {
  int64_t sum = 0;
  for (const Thread& thread : threads_) {
    sum += thread.rows.capacity() + thread.gate.capacity() + thread.up.capacity() +
           thread.hidden.capacity() + thread.scratch.capacity();
  }
  for (const auto& gemm : quantised_gemms_) sum += gemm == nullptr ? 0 : gemm->panel_bytes();
  return sum;
}

}  // namespace hashep
