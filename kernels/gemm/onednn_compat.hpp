// SPDX-License-Identifier: Apache-2.0
// The one place that knows that oneDNN 2.x and 3.x differ.
#pragma once

#include <array>
#include <cstdint>
#include <dnnl.hpp>
#include <optional>

namespace hashep::onednn {

/// Appends `algorithm` to post-ops, with no scale.
inline void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float alpha,
                           float beta) {
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(algorithm, alpha, beta);
#else
  ops.append_eltwise(1.0f, algorithm, alpha, beta);
#endif
}

/// An inference inner product with bias, made for as many threads as OpenMP would use now.
inline dnnl::inner_product_forward::primitive_desc inner_product(
    const dnnl::engine& engine, const dnnl::memory::desc& source, const dnnl::memory::desc& weights,
    const dnnl::memory::desc& bias, const dnnl::memory::desc& result,
    const dnnl::primitive_attr& attributes) {
  constexpr auto kInference = dnnl::prop_kind::forward_inference;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kInference, source, weights, bias, result, attributes};
#else
  return {{kInference, source, weights, bias, result}, attributes, engine};
#endif
}

/// An element-wise function for inference, made for as many threads as OpenMP would use now.
inline dnnl::eltwise_forward::primitive_desc eltwise(const dnnl::engine& engine,
                                                     dnnl::algorithm algorithm,
                                                     const dnnl::memory::desc& values, float alpha,
                                                     float beta) {
  constexpr auto kInference = dnnl::prop_kind::forward_inference;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kInference, algorithm, values, values, alpha, beta};
#else
  return {{kInference, algorithm, values, alpha, beta}, engine};
#endif
}

/// The gradient of an element-wise function, made for as many threads as OpenMP would use now.
inline dnnl::eltwise_backward::primitive_desc eltwise_gradient(const dnnl::engine& engine,
                                                               dnnl::algorithm algorithm,
                                                               const dnnl::memory::desc& values,
                                                               float alpha, float beta) {
  const auto forward = eltwise(engine, algorithm, values, alpha, beta);
#if DNNL_VERSION_MAJOR >= 3
  return {engine, algorithm, values, values, values, alpha, beta, forward};
#else
  return {{algorithm, values, values, alpha, beta}, engine, forward};
#endif
}

/// A product of matrices, made for as many threads as OpenMP would use now.
inline dnnl::matmul::primitive_desc matmul(const dnnl::engine& engine,
                                           const dnnl::memory::desc& left,
                                           const dnnl::memory::desc& right,
                                           const dnnl::memory::desc& result,
                                           const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, left, right, result, attributes};
#else
  return {{left, right, result}, attributes, engine};
#endif
}

/// How a matrix stands in blocks: `blocks` of the dimensions `of`, the innermost last, and from one
/// block of a dimension to the next `strides`, in elements.
struct Blocks {
  int count = 0;
  std::array<int64_t, 3> blocks{};
  std::array<int64_t, 3> of{};
  std::array<int64_t, 2> strides{};
};

/// Nothing where it stands otherwise.
inline std::optional<Blocks> blocks_of(const dnnl::memory::desc& matrix) {
  Blocks made;
#if DNNL_VERSION_MAJOR >= 3
  if (matrix.get_format_kind() != dnnl::memory::format_kind::blocked) return std::nullopt;
  const auto blocks = matrix.get_inner_blks();
  const auto of = matrix.get_inner_idxs();
  const auto strides = matrix.get_strides();
  made.count = matrix.get_inner_nblks();
#else
  if (matrix.data.format_kind != dnnl_blocked) return std::nullopt;
  const auto& [strides, count, blocks, of] = matrix.data.format_desc.blocking;
  made.count = count;
#endif
  if (made.count > 3) return std::nullopt;
  for (int i = 0; i < made.count; ++i) {
    made.blocks[i] = blocks[i];
    made.of[i] = of[i];
  }
  made.strides = {strides[0], strides[1]};
  return made;
}

/// Whether a matrix is stored row by row or column by column, not in blocks.
inline bool is_plain(const dnnl::memory::desc& matrix) {
#if DNNL_VERSION_MAJOR >= 3
  const auto dims = matrix.get_dims();
  const auto type = matrix.get_data_type();
#else
  const auto dims = matrix.dims();
  const auto type = matrix.data_type();
#endif
  using Tag = dnnl::memory::format_tag;
  return matrix == dnnl::memory::desc(dims, type, Tag::ab) ||
         matrix == dnnl::memory::desc(dims, type, Tag::ba);
}

}  // namespace hashep::onednn
