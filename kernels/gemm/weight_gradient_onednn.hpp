// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <dnnl.hpp>
#include <map>
#include <vector>

#include "hashep/dtype.hpp"

namespace hashep {

/// Gradients of weights [outputs, inputs] by oneDNN: G += Y^T X, Y [rows, outputs] being the
/// gradient of a linear layer's outputs and X [rows, inputs] its inputs, sums in fp32.
///
/// Rows are summed in chunks of kChunkRows, and outputs computed in blocks of kBlockOutputs: what
/// sums there are, and so their bits, follows from the sizes alone. oneDNN's product with a number
/// of rows that is given at run time is as fast as its best one, with AVX-512 and with AVX2 (2.6,
/// 512 rows, 1,024 x 1,024 to 4,096: 104 to 108 GFLOP/s in fp32 and 204 to 208 in bf16 on a Zen 4
/// whose forward GEMMs reach 107 to 115 and 215 to 228; with AVX2 102 to 106, where LIBXSMM's with
/// a transposed operand reaches 63), and one serves all row counts.
class WeightGradientGemm {
 public:
  static constexpr int64_t kChunkRows = 2048;
  static constexpr int64_t kBlockOutputs = 512;

  /// `operand`: of Y and X, f32 or bf16.
  WeightGradientGemm(const dnnl::engine& engine, int64_t outputs, int64_t inputs, DType operand,
                     int threads);

  /// Blocks that the outputs come in.
  int64_t num_blocks() const { return (outputs_ + kBlockOutputs - 1) / kBlockOutputs; }

  /// Makes ready for chunks of so many rows, up to kChunkRows, for all threads.
  void make_ready(int64_t rows);

  /// One chunk of a block, on thread `thread`: adds to the block's rows of the gradient. outputs,
  /// inputs: Y and X of the chunk, dense; gradient: [outputs, inputs].
  void run(int thread, int64_t block, int64_t rows, const std::byte* outputs,
           const std::byte* inputs, float* gradient) const;

 private:
  enum Width { kFull, kRest, kWidths };  // of a block
  /// oneDNN's handles on the memory of one thread; addresses are set at each run.
  struct Handles {
    std::array<dnnl::memory, kWidths> outputs;
    dnnl::memory inputs;
  };

  int64_t width_of(Width width) const;

  dnnl::engine engine_;
  int64_t outputs_;
  int64_t inputs_;
  DType operand_;
  std::array<dnnl::matmul, kWidths> products_;
  std::vector<dnnl::stream> streams_;                         // by thread
  std::vector<std::array<dnnl::memory, kWidths>> gradients_;  // by thread
  std::map<int64_t, std::vector<Handles>> handles_;           // by rows, then thread
};

}  // namespace hashep
