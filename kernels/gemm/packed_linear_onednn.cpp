// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/packed_linear_onednn.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "hashep/buffer.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/tiles.hpp"
#include "kernels/gemm/onednn_call.hpp"
#include "kernels/gemm/onednn_compat.hpp"
#include "kernels/gemm/rounded_weights.hpp"
#include "kernels/parallel.hpp"

namespace hashep {
namespace {

/// Weights and bias with oneDNN's handles on them.
class OneDnnWeights final : public PackedWeights {
 public:
  int64_t bytes() const override { return weights_storage.capacity() + bias_storage.capacity(); }

  Buffer weights_storage;
  Buffer bias_storage;
  dnnl::memory weights;
  dnnl::memory bias;
};

constexpr int64_t kBlockRows = 64;

bool is_reference(const std::string& implementation) {
  return implementation.starts_with("ref");
}

bool is_brgemm(const std::string& implementation) {
  return implementation.starts_with("brg");
}

dnnl::memory::desc bias_desc(int64_t outputs) {
  return {{outputs}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a};
}

std::string library_text(const std::string& gemm) {
  const dnnl_version_t& version = *dnnl_version();
  const auto isa = static_cast<dnnl_cpu_isa_t>(dnnl::get_effective_cpu_isa());
  return "oneDNN " + std::to_string(version.major) + "." + std::to_string(version.minor) + "." +
         std::to_string(version.patch) + " " + gemm + " on " + dnnl_cpu_isa2str(isa);
}

void set_address(const dnnl::memory& memory, void* address) {
  onednn::call("setting the address of a tile", [&] { memory.set_data_handle(address); });
}

}  // namespace

dnnl::memory::data_type onednn_type(DType dtype) {
  if (dtype == DType::f32) return dnnl::memory::data_type::f32;
  if (dtype == DType::bf16) return dnnl::memory::data_type::bf16;
  throw RunError("expert FFN: no GEMM in " + std::string(dtype_name(dtype)));
}

int64_t packed_offset(const dnnl::memory::desc& weights) {
  constexpr int64_t kMisaligned = 16;  // bytes: less than an AVX2 register
  return onednn::is_plain(weights) ? kMisaligned : 0;
}

dnnl::memory::desc onednn_matrix(DType dtype, int64_t rows, int64_t cols) {
  return {{rows, cols}, onednn_type(dtype), dnnl::memory::format_tag::ab};
}

OneDnnLinear::OneDnnLinear(const dnnl::engine& engine, LinearSpec spec, int threads)
    : engine_(engine), spec_(std::move(spec)), kernels_(kMostTileRows + 1) {
  const OmpThreads one_thread(1);
  onednn::call("choosing the layout of packed weights", [&] {
    const dnnl::memory::desc any({spec_.outputs, spec_.inputs}, onednn_type(spec_.operand),
                                 dnnl::memory::format_tag::any);
    const auto description = describe(kMostTileRows, any);
    weights_desc_ = description.weights_desc();
    reference_ = is_reference(description.impl_info_str());
    implementation_ = library_text(description.impl_info_str());
    in_blocks_ = works_in_blocks(description.impl_info_str());
    for (int thread = 0; thread < threads; ++thread) streams_.emplace_back(engine_);
  });
}

bool OneDnnLinear::supports(const dnnl::engine& engine, DType operand) {
  try {
    const dnnl::memory::desc any({1, 1}, onednn_type(operand), dnnl::memory::format_tag::any);
    onednn::inner_product(engine, onednn_matrix(operand, 1, 1), any, bias_desc(1),
                          onednn_matrix(operand, 1, 1), {});
    return true;
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return false;
    onednn::check(error.status, "asking for an inner product");
    throw;
  }
}

std::unique_ptr<PackedWeights> OneDnnLinear::make_weights() const {
  auto packed = std::make_unique<OneDnnWeights>();
  const int64_t offset = packed_offset(weights_desc_);
  packed->weights_storage.reserve(static_cast<int64_t>(weights_desc_.get_size()) + offset);
  packed->bias_storage.reserve(spec_.outputs * dtype_size(DType::f32));
  for (Buffer* storage : {&packed->weights_storage, &packed->bias_storage}) {
    std::memset(storage->data(), 0, static_cast<size_t>(storage->capacity()));
  }
  onednn::call("making packed weights", [&] {
    packed->weights = dnnl::memory(weights_desc_, engine_, packed->weights_storage.data() + offset);
    packed->bias = dnnl::memory(bias_desc(spec_.outputs), engine_, packed->bias_storage.data());
  });
  return packed;
}

void OneDnnLinear::repack(ConstMatrixView weights, ConstMatrixView bias, DType precision,
                          PackedWeights& packed, Buffer& scratch) const {
  auto& to = static_cast<OneDnnWeights&>(packed);
  set_bias(bias, packed);
  const std::byte* const plain = as_operand(weights, precision, spec_.operand, scratch);
  onednn::call("packing weights", [&] {
    const dnnl::memory::desc rows_as_given(
        {spec_.outputs, spec_.inputs}, onednn_type(spec_.operand),
        spec_.transposed ? dnnl::memory::format_tag::ba : dnnl::memory::format_tag::ab);
    dnnl::memory source(rows_as_given, engine_, const_cast<std::byte*>(plain));
    dnnl::stream stream(engine_);
    dnnl::reorder(source, to.weights).execute(stream, source, to.weights);
    stream.wait();
  });
}

std::optional<OperandLayout> OneDnnLinear::operand_layout() const {
  enum Of : int64_t { kOutputs, kInputs };
  const auto blocks = onednn::blocks_of(weights_desc_);
  const bool is_pairs = spec_.operand == DType::bf16;
  if (!blocks || blocks->count != (is_pairs ? 3 : 2)) return std::nullopt;
  const auto& [inputs, outputs, pair] = blocks->blocks;
  if (blocks->of[0] != kInputs || blocks->of[1] != kOutputs || outputs % 16 != 0) {
    return std::nullopt;
  }
  if (is_pairs && (blocks->of[2] != kInputs || pair != 2)) return std::nullopt;
  const OperandLayout layout{spec_.operand,
                             outputs,
                             is_pairs ? 2 * inputs : inputs,
                             is_pairs ? 2 : 1,
                             blocks->strides[kOutputs],
                             blocks->strides[kInputs]};
  if (layout.block_inputs % 8 != 0) return std::nullopt;
  return layout;
}

std::byte* OneDnnLinear::operands(PackedWeights& packed) const {
  return static_cast<OneDnnWeights&>(packed).weights_storage.data() + packed_offset(weights_desc_);
}

void OneDnnLinear::set_bias(ConstMatrixView bias, PackedWeights& packed) const {
  fill_bias(bias, spec_.outputs, static_cast<OneDnnWeights&>(packed).bias_storage);
}

bool OneDnnLinear::works_in_blocks(const std::string& largest) const {
  const auto is_brgemm_too = [&](int64_t rows) {
    return is_brgemm(describe(rows, weights_desc_).impl_info_str());
  };
  // The parts of the largest tile have to be there: it stands in for those that are not.
  return is_brgemm(largest) && is_brgemm_too(kMostTileRows / kBlockRows * kBlockRows) &&
         is_brgemm_too(kMostTileRows % kBlockRows);
}

OneDnnLinear::Parts OneDnnLinear::parts_of(int64_t rows) const {
  const int64_t blocks = in_blocks_ ? rows / kBlockRows * kBlockRows : rows;
  return {blocks, rows - blocks};
}

bool OneDnnLinear::make_ready(int64_t rows) {
  const auto [blocks, rest] = parts_of(rows);
  return (blocks == 0 || make_kernel(blocks)) && (rest == 0 || make_kernel(rest));
}

bool OneDnnLinear::make_kernel(int64_t rows) {
  auto& kernel = kernels_[rows];
  if (kernel != nullptr) return true;
  const OmpThreads one_thread(1);
  try {
    const auto description = describe(rows, weights_desc_);
    const std::string implementation = description.impl_info_str();
    if (in_blocks_ ? !is_brgemm(implementation) : is_reference(implementation) && !reference_) {
      return false;
    }
    auto made = std::make_unique<Kernel>();
    made->primitive = dnnl::inner_product_forward(description);
    made->scratch = description.scratchpad_desc();
    const auto handle = [&](const dnnl::memory::desc& memory) {
      return dnnl::memory(memory, engine_, DNNL_MEMORY_NONE);
    };
    for (size_t thread = 0; thread < streams_.size(); ++thread) {
      made->handles.push_back({handle(description.src_desc()), handle(description.dst_desc()),
                               handle(description.scratchpad_desc())});
    }
    kernel = std::move(made);
    return true;
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented && rows < kMostTileRows) return false;
    onednn::check(error.status, "making an inner product of " + std::to_string(rows) + " rows");
    throw;
  }
}

int64_t OneDnnLinear::scratch_bytes(int64_t rows) const {
  const auto [blocks, rest] = parts_of(rows);
  size_t bytes = 0;
  for (const int64_t part : {blocks, rest}) {
    if (part > 0) bytes = std::max(bytes, kernels_[part]->scratch.get_size());
  }
  return static_cast<int64_t>(bytes);
}

void OneDnnLinear::run(int thread, const Call& call) const {
  const auto [blocks, rest] = parts_of(call.rows);
  Call part = call;
  part.rows = blocks;
  if (blocks > 0) run_kernel(thread, part);
  part.rows = rest;
  part.x += blocks * spec_.inputs * dtype_size(spec_.operand);
  part.y += blocks * spec_.outputs * dtype_size(spec_.result);
  if (rest > 0) run_kernel(thread, part);
}

void OneDnnLinear::run_kernel(int thread, const Call& call) const {
  const Kernel& kernel = *kernels_[call.rows];
  const Handles& handles = kernel.handles[thread];
  const auto& weights = static_cast<const OneDnnWeights&>(call.weights);
  // oneDNN takes a mutable address for what it only reads.
  set_address(handles.x, const_cast<std::byte*>(call.x));
  set_address(handles.y, call.y);
  set_address(handles.scratch, call.scratch);
  // The C interface: the C++ one builds a map and a vector on the heap at each call.
  const std::array<dnnl_exec_arg_t, 5> arguments{{{DNNL_ARG_SRC, handles.x.get()},
                                                  {DNNL_ARG_WEIGHTS, weights.weights.get()},
                                                  {DNNL_ARG_BIAS, weights.bias.get()},
                                                  {DNNL_ARG_DST, handles.y.get()},
                                                  {DNNL_ARG_SCRATCHPAD, handles.scratch.get()}}};
  onednn::check(dnnl_primitive_execute(kernel.primitive.get(), streams_[thread].get(),
                                       static_cast<int>(arguments.size()), arguments.data()),
                "executing an inner product");
}

dnnl::inner_product_forward::primitive_desc OneDnnLinear::describe(
    int64_t rows, const dnnl::memory::desc& weights) const {
  dnnl::post_ops post_ops;
  for (const PostOp& op : spec_.post_ops) {
    onednn::append_eltwise(post_ops, op.algorithm, op.alpha, op.beta);
  }
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_post_ops(post_ops);
  return onednn::inner_product(engine_, onednn_matrix(spec_.operand, rows, spec_.inputs), weights,
                               bias_desc(spec_.outputs),
                               onednn_matrix(spec_.result, rows, spec_.outputs), attributes);
}

}  // namespace hashep
