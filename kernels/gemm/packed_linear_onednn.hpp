// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/gemm/packed_linear.hpp"

namespace hashep {

/// GEMMs by oneDNN: inner products whose post-ops are fused, on weights in the layout that oneDNN
/// chooses for the largest tiles. Each primitive takes some 90 KiB (as much as 390 KiB for sizes
/// that are no multiples of a register). Where oneDNN works on blocks of rows (its brgemm), a row's
/// bits do not depend on the number of rows, so a GEMM of more than kBlockRows rows runs as two: of
/// the largest multiple of kBlockRows, and of the rest. That makes at most 72 primitives, with the
/// bits and the speed of one primitive for each number of rows. Else at most kMostTileRows.
class OneDnnLinear final : public PackedLinear {
 public:
  /// Throws RunError where oneDNN has no such GEMM (see supports).
  OneDnnLinear(const dnnl::engine& engine, LinearSpec spec, int threads);

  /// Whether oneDNN has inner products with operands of this type on this machine.
  static bool supports(const dnnl::engine& engine, DType operand);

  void repack(ConstMatrixView weights, ConstMatrixView bias, DType precision, PackedWeights& packed,
              Buffer& scratch) const override;
  std::unique_ptr<PackedWeights> make_weights() const override;
  std::optional<OperandLayout> operand_layout() const override;
  std::byte* operands(PackedWeights& packed) const override;
  void set_bias(ConstMatrixView bias, PackedWeights& packed) const override;
  bool make_ready(int64_t rows) override;
  int64_t scratch_bytes(int64_t rows) const override;
  void run(int thread, const Call& call) const override;
  /// With its brgemm: seen so (2.6). Its gemm has others for few rows and few outputs.
  bool has_outputs_apart() const override { return in_blocks_; }
  const std::string& implementation() const override { return implementation_; }

 private:
  /// oneDNN's handles on the memory of one thread; addresses are set at each run.
  struct Handles {
    dnnl::memory x, y, scratch;
  };
  struct Kernel {
    dnnl::inner_product_forward primitive;
    dnnl::memory::desc scratch;
    std::vector<Handles> handles;  // by thread
  };

  /// Rows in the order in which kernels take them; the second part may be empty.
  struct Parts {
    int64_t blocks = 0;
    int64_t rest = 0;
  };

  dnnl::inner_product_forward::primitive_desc describe(int64_t rows,
                                                       const dnnl::memory::desc& weights) const;
  bool works_in_blocks(const std::string& largest) const;
  Parts parts_of(int64_t rows) const;
  bool make_kernel(int64_t rows);
  void run_kernel(int thread, const Call& call) const;

  dnnl::engine engine_;
  LinearSpec spec_;
  dnnl::memory::desc weights_desc_;
  bool reference_ = false;  // oneDNN has no fast GEMM for the largest tiles
  bool in_blocks_ = false;  // rows run in Parts
  std::string implementation_;
  std::vector<dnnl::stream> streams_;             // by thread
  std::vector<std::unique_ptr<Kernel>> kernels_;  // by rows of a part
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
