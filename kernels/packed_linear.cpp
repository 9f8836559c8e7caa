// SPDX-License-Identifier: Apache-2.0
#include "kernels/packed_linear.hpp"

#include <utility>

#include "core/error.hpp"
#include "kernels/activation.hpp"
#include "kernels/omp_threads.hpp"
#include "kernels/onednn_call.hpp"
#include "kernels/onednn_compat.hpp"
#include "kernels/tiles.hpp"

namespace hashep {
namespace {

bool is_reference(const std::string& implementation) {
  return implementation.starts_with("ref");
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

PackedLinear::PackedLinear(const dnnl::engine& engine, LinearSpec spec)
    : engine_(engine), spec_(std::move(spec)), kernels_(kExpertTileRows + 1) {
  const OmpThreads one_thread(1);
  onednn::call("choosing the layout of packed weights", [&] {
    const dnnl::memory::desc any({spec_.outputs, spec_.inputs}, onednn_type(spec_.operand),
                                 dnnl::memory::format_tag::any);
    const auto description = describe(kExpertTileRows, any);
    weights_desc_ = description.weights_desc();
    implementation_ = description.impl_info_str();
  });
}

bool PackedLinear::supports(const dnnl::engine& engine, DType operand) {
  try {
    const dnnl::memory::desc any({1, 1}, onednn_type(operand), dnnl::memory::format_tag::any);
    const dnnl::memory::desc bias({1}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a);
    onednn::inner_product(engine, onednn_matrix(operand, 1, 1), any, bias,
                          onednn_matrix(operand, 1, 1), {});
    return true;
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return false;
    onednn::check(error.status, "asking for an inner product");
    throw;
  }
}

int64_t PackedLinear::packed_bytes() const {
  return static_cast<int64_t>(weights_desc_.get_size()) + packed_offset(weights_desc_);
}

dnnl::memory PackedLinear::pack(ConstMatrixView weights, DType precision, Buffer& storage) const {
  const int64_t count = weights.rows * weights.cols;
  Buffer floats(count * dtype_size(DType::f32));
  auto* values = reinterpret_cast<float*>(floats.data());
  convert_to_float(weights.dtype, weights.data, count, values);
  if (precision == DType::bf16) round_to_bf16({values, static_cast<size_t>(count)});
  Buffer rounded;
  std::byte* plain = floats.data();
  if (spec_.operand == DType::bf16) {
    rounded.reserve(count * dtype_size(DType::bf16));
    convert_from_float(values, count, DType::bf16, rounded.data());
    plain = rounded.data();
  }
  storage.reserve(packed_bytes());
  return onednn::call("packing weights", [&] {
    dnnl::memory source(onednn_matrix(spec_.operand, weights.rows, weights.cols), engine_, plain);
    dnnl::memory packed(weights_desc_, engine_, storage.data() + packed_offset(weights_desc_));
    dnnl::stream stream(engine_);
    dnnl::reorder(source, packed).execute(stream, source, packed);
    stream.wait();
    return packed;
  });
}

bool PackedLinear::make_ready(int64_t rows) {
  auto& kernel = kernels_[static_cast<size_t>(rows)];
  if (kernel != nullptr) return true;
  const OmpThreads one_thread(1);
  try {
    const auto description = describe(rows, weights_desc_);
    if (is_reference(description.impl_info_str()) && !is_reference(implementation_)) return false;
    kernel = std::make_unique<Kernel>(
        Kernel{dnnl::inner_product_forward(description), description.scratchpad_desc()});
    return true;
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented && rows < kExpertTileRows) return false;
    onednn::check(error.status, "making an inner product of " + std::to_string(rows) + " rows");
    throw;
  }
}

dnnl::inner_product_forward::primitive_desc PackedLinear::describe(
    int64_t rows, const dnnl::memory::desc& weights) const {
  dnnl::post_ops post_ops;
  for (const PostOp& op : spec_.post_ops) {
    onednn::append_eltwise(post_ops, op.algorithm, op.alpha, op.beta);
  }
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_post_ops(post_ops);
  const dnnl::memory::desc bias({spec_.outputs}, dnnl::memory::data_type::f32,
                                dnnl::memory::format_tag::a);
  return onednn::inner_product(engine_, onednn_matrix(spec_.operand, rows, spec_.inputs), weights,
                               bias, onednn_matrix(spec_.result, rows, spec_.outputs), attributes);
}

}  // namespace hashep
