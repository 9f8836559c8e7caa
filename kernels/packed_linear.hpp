// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <memory>
#include <string>
#include <vector>

#include "core/buffer.hpp"
#include "core/tensor_view.hpp"

namespace hashep {

/// An element-wise function that a GEMM applies to its fp32 sums before it rounds them.
struct PostOp {
  dnnl::algorithm algorithm;
  float alpha = 0.0f;
  float beta = 0.0f;
};

/// y = post_ops(x W^T + bias), x: [rows, inputs], W: [outputs, inputs], y: [rows, outputs].
struct LinearSpec {
  int64_t inputs = 0;
  int64_t outputs = 0;
  DType operand = DType::f32;  // of x and W: f32 or bf16; the bias is f32
  DType result = DType::f32;   // of y
  std::vector<PostOp> post_ops;
};

/// GEMMs of one shape for any number of rows up to kExpertTileRows, all reading the weights in one
/// packed layout: the one oneDNN chooses for full tiles. Every GEMM runs on one thread. At most
/// kExpertTileRows primitives are ever kept.
class PackedLinear {
 public:
  struct Kernel {
    dnnl::inner_product_forward primitive;
    dnnl::memory::desc scratchpad;
  };

  /// Throws RunError where oneDNN has no such GEMM (see supports).
  PackedLinear(const dnnl::engine& engine, LinearSpec spec);

  /// Whether oneDNN has inner products with operands of this type on this machine.
  static bool supports(const dnnl::engine& engine, DType operand);

  /// Bytes of storage for the packed weights.
  int64_t packed_bytes() const;

  /// Rounds weights [outputs, inputs] of any float type and alignment to `precision` (f32 or bf16)
  /// and packs them into `storage`, which must outlive the result.
  dnnl::memory pack(ConstMatrixView weights, DType precision, Buffer& storage) const;

  /// Makes the GEMM of this many rows. False where oneDNN has none as good for these rows in the
  /// packed layout: then the caller fills up to kExpertTileRows, which always works.
  bool make_ready(int64_t rows);

  /// The GEMM of this many rows, null where it was not made ready.
  const Kernel* find(int64_t rows) const { return kernels_[static_cast<size_t>(rows)].get(); }

  /// oneDNN's name of the implementation of full tiles.
  const std::string& implementation() const { return implementation_; }

 private:
  dnnl::inner_product_forward::primitive_desc describe(int64_t rows,
                                                       const dnnl::memory::desc& weights) const;

  dnnl::engine engine_;
  LinearSpec spec_;
  dnnl::memory::desc weights_desc_;
  std::string implementation_;
  std::vector<std::unique_ptr<Kernel>> kernels_;  // by rows
};

/// Bytes past an aligned address at which packed weights of this layout should start. Blocked
/// layouts want none. With plain ones on AVX2, oneDNN's kernels for few rows run at half speed on
/// aligned weights whose rows are a multiple of 4 KiB apart; it copies misaligned ones first, which
/// is faster (oneDNN 2.6, Zen 3, 1024 x 1024, 256 rows: 41 against 65-77 GFLOP/s).
int64_t packed_offset(const dnnl::memory::desc& weights);

/// oneDNN's name of f32 or bf16.
dnnl::memory::data_type onednn_type(DType dtype);

/// The descriptor of a row-major matrix.
dnnl::memory::desc onednn_matrix(DType dtype, int64_t rows, int64_t cols);

}  // namespace hashep
