// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn_tile_runner.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "kernels/activation.hpp"
#include "kernels/onednn_call.hpp"
#include "kernels/tiles.hpp"

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

void set_address(const dnnl::memory& memory, void* address) {
  onednn::call("setting the address of a tile", [&] { memory.set_data_handle(address); });
}

std::string describe_library(const std::string& gemm, DType dtype, bool emulates_bf16) {
  const dnnl_version_t& version = *dnnl_version();
  const auto isa = static_cast<dnnl_cpu_isa_t>(dnnl::get_effective_cpu_isa());
  std::string text = "oneDNN " + std::to_string(version.major) + "." +
                     std::to_string(version.minor) + "." + std::to_string(version.patch) + " " +
                     gemm + " on " + dnnl_cpu_isa2str(isa) + ", ";
  if (dtype == DType::f32) return text + "fp32";
  return text + (emulates_bf16 ? "bf16 computed in fp32" : "bf16 native");
}

}  // namespace

int64_t PackedExpert::bytes() const {
  int64_t sum = 0;
  for (const Linear& linear : linears_) {
    sum += linear.weights_storage.capacity() + linear.bias_storage.capacity();
  }
  return sum;
}

FfnTileRunner::FfnTileRunner(const FfnShape& shape, DType dtype, int threads)
    : shape_(shape),
      dtype_(dtype),
      engine_(onednn::call("making a CPU engine",
                           [] { return dnnl::engine(dnnl::engine::kind::cpu, 0); })),
      operand_(PackedLinear::supports(engine_, dtype) ? dtype : DType::f32),
      gemm_rows_(kExpertTileRows + 1) {
  const int64_t d = shape.hidden_size;
  const int64_t f = shape.ffn_size;
  gemms_[kGate].emplace(engine_, LinearSpec{d, f, operand_, gate_type(), gate_post_ops(shape)});
  if (gated()) {
    gemms_[kUp].emplace(engine_, LinearSpec{d, f, operand_, DType::f32, up_post_ops(shape)});
  }
  gemms_[kDown].emplace(engine_, LinearSpec{f, d, operand_, operand_, {}});
  for (int thread = 0; thread < threads; ++thread) {
    threads_.emplace_back();
    threads_.back().stream = onednn::call("making a stream", [&] { return dnnl::stream(engine_); });
    threads_.back().memories.resize(kExpertTileRows + 1);
  }
  implementation_ = describe_library(gemms_[kGate]->implementation(), dtype, emulates_bf16());
}

PackedExpert FfnTileRunner::pack(const FfnWeights& weights) const {
  PackedExpert expert;
  const auto pack_linear = [&](Gemm gemm, ConstMatrixView matrix, ConstMatrixView bias) {
    PackedExpert::Linear& linear = expert.linears_[gemm];
    linear.weights = gemms_[gemm]->pack(matrix, dtype_, linear.weights_storage);
    // An absent bias is zeros, so that a row's bits don't depend on other experts having one.
    linear.bias_storage.reserve(matrix.rows * dtype_size(DType::f32));
    const auto values = elements<float>(linear.bias_storage, matrix.rows);
    std::fill(values.begin(), values.end(), 0.0f);
    if (bias.rows > 0) convert_to_float(bias.dtype, bias.data, bias.cols, values.data());
    linear.bias = onednn::call("making a bias", [&] {
      return dnnl::memory(
          {{matrix.rows}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a}, engine_,
          values.data());
    });
  };
  pack_linear(kGate, weights.w1, weights.bias1);
  if (gated()) pack_linear(kUp, weights.w3, weights.bias3);
  pack_linear(kDown, weights.w2, weights.bias2);
  return expert;
}

void FfnTileRunner::make_ready(int64_t rows) {
  int64_t& gemm_rows = gemm_rows_[static_cast<size_t>(rows)];
  if (gemm_rows != 0) return;
  int64_t wanted = rows;
  if (!make_gemms(rows)) {
    wanted = kExpertTileRows;
    make_gemms(wanted);
  }
  for (Thread& thread : threads_) make_memory(thread, wanted);
  gemm_rows = wanted;
}

bool FfnTileRunner::make_gemms(int64_t rows) {
  return std::all_of(gemms_.begin(), gemms_.end(), [rows](std::optional<PackedLinear>& gemm) {
    return !gemm.has_value() || gemm->make_ready(rows);
  });
}

void FfnTileRunner::make_memory(Thread& thread, int64_t rows) const {
  auto& slot = thread.memories[static_cast<size_t>(rows)];
  if (slot != nullptr) return;
  const int64_t d = shape_.hidden_size;
  const int64_t f = shape_.ffn_size;
  auto memory = std::make_unique<TileMemory>();
  onednn::call("making memory objects", [&] {
    const auto make = [&](const dnnl::memory::desc& description) {
      return dnnl::memory(description, engine_, DNNL_MEMORY_NONE);
    };
    memory->rows = make(onednn_matrix(operand_, rows, d));
    memory->gate = make(onednn_matrix(gate_type(), rows, f));
    if (gated()) memory->up = make(onednn_matrix(DType::f32, rows, f));
    memory->hidden =
        gate_type() == operand_ ? memory->gate : make(onednn_matrix(operand_, rows, f));
    for (size_t gemm = 0; gemm < gemms_.size(); ++gemm) {
      if (!gemms_[gemm].has_value()) continue;
      const dnnl::memory::desc& scratchpad = gemms_[gemm]->find(rows)->scratchpad;
      memory->scratchpads[gemm] = make(scratchpad);
      thread.scratchpad.reserve(static_cast<int64_t>(scratchpad.get_size()));
    }
  });
  thread.rows.reserve(rows * d * dtype_size(operand_));
  thread.gate.reserve(rows * f * dtype_size(gate_type()));
  if (gated()) thread.up.reserve(rows * f * dtype_size(DType::f32));
  if (gate_type() != operand_) thread.hidden.reserve(rows * f * dtype_size(operand_));
  slot = std::move(memory);
}

void FfnTileRunner::run(int thread_index, const PackedExpert& expert, const TileRows& tile) {
  Thread& thread = threads_[static_cast<size_t>(thread_index)];
  const int64_t rows = tile.gemm_rows;
  const TileMemory& memory = *thread.memories[static_cast<size_t>(rows)];
  const bool whole = tile.x.rows == rows && !emulates_bf16();

  // oneDNN takes a mutable address for what it only reads.
  set_address(memory.rows, whole ? const_cast<std::byte*>(tile.x.data) : stage(tile, thread.rows));
  set_address(memory.gate, thread.gate.data());
  execute(thread, kGate, expert, rows, memory.rows, memory.gate);
  if (gated()) {
    set_address(memory.up, thread.up.data());
    execute(thread, kUp, expert, rows, memory.rows, memory.up);
  }
  activate(thread, rows);
  if (gate_type() != operand_) set_address(memory.hidden, thread.hidden.data());
  if (whole) set_address(memory.rows, tile.out.data);
  execute(thread, kDown, expert, rows, memory.hidden, memory.rows);
  if (whole) return;
  const std::byte* result =
      thread.rows.data() + tile.first * shape_.hidden_size * dtype_size(operand_);
  if (emulates_bf16()) {
    convert_from_float(reinterpret_cast<const float*>(result), tile.out.rows * tile.out.cols,
                       dtype_, tile.out.data);
  } else {
    std::memcpy(tile.out.data, result, static_cast<size_t>(tile.out.bytes()));
  }
}

/// Copies a tile's rows to their places among gemm_rows rows of operand_, and zeros around them.
std::byte* FfnTileRunner::stage(const TileRows& tile, Buffer& rows) const {
  const int64_t row_bytes = shape_.hidden_size * dtype_size(operand_);
  std::byte* begin = rows.data() + tile.first * row_bytes;
  std::byte* end = begin + tile.x.rows * row_bytes;
  std::fill(rows.data(), begin, std::byte{0});
  if (emulates_bf16()) {
    convert_to_float(dtype_, tile.x.data, tile.x.rows * tile.x.cols,
                     reinterpret_cast<float*>(begin));
  } else {
    std::memcpy(begin, tile.x.data, static_cast<size_t>(tile.x.bytes()));
  }
  std::fill(end, rows.data() + tile.gemm_rows * row_bytes, std::byte{0});
  return rows.data();
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

void FfnTileRunner::execute(Thread& thread, Gemm gemm, const PackedExpert& expert, int64_t rows,
                            const dnnl::memory& source, const dnnl::memory& result) const {
  const PackedExpert::Linear& linear = expert.linears_[gemm];
  const dnnl::memory& scratchpad = thread.memories[static_cast<size_t>(rows)]->scratchpads[gemm];
  set_address(scratchpad, thread.scratchpad.data());
  // The C interface: the C++ one builds a map and a vector on the heap at each call.
  const std::array<dnnl_exec_arg_t, 5> arguments{{{DNNL_ARG_SRC, source.get()},
                                                  {DNNL_ARG_WEIGHTS, linear.weights.get()},
                                                  {DNNL_ARG_BIAS, linear.bias.get()},
                                                  {DNNL_ARG_DST, result.get()},
                                                  {DNNL_ARG_SCRATCHPAD, scratchpad.get()}}};
  onednn::check(
      dnnl_primitive_execute(gemms_[gemm]->find(rows)->primitive.get(), thread.stream.get(),
                             static_cast<int>(arguments.size()), arguments.data()),
      "executing an inner product");
}

int64_t FfnTileRunner::scratch_bytes() const {
  int64_t sum = 0;
  for (const Thread& thread : threads_) {
    sum += thread.rows.capacity() + thread.gate.capacity() + thread.up.capacity() +
           thread.hidden.capacity() + thread.scratchpad.capacity();
  }
  return sum;
}

}  // namespace hashep
