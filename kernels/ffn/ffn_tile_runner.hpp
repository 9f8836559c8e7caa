// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hashep/backend.hpp"
#include "hashep/buffer.hpp"
#include "hashep/ffn_shape.hpp"
#include "hashep/tensor_view.hpp"
#include "kernels/ffn/tile_gemms.hpp"
#include "kernels/ffn/tile_rows.hpp"
#include "kernels/gemm/gemm_maker.hpp"
#include "kernels/gemm/packed_linear.hpp"
#include "kernels/gemm/quantised_linear.hpp"

namespace hashep {

/// One expert's weights as the GEMMs read them.
class PackedExpert {
 public:
  int64_t bytes() const;

 private:
  friend class FfnTileRunner;
  struct Linear {
    std::unique_ptr<PackedWeights> weights;
    bool is_quantised = false;
  };
  std::array<Linear, 3> linears_;  // w1, w3 (silu only), w2
};

/// Runs GEMM -> activation -> GEMM on one tile of rows with one thread, for several threads at
/// once. Where the GEMMs have no bf16 on a machine, operands are bf16 values held in fp32.
class FfnTileRunner {
 public:
  FfnTileRunner(const FfnShape& shape, DType dtype, int threads, GemmLibrary library);

  /// Rounds and packs the weights of one expert, whose shapes the caller has checked, into what
  /// may hold others. What is quantised stays so.
  void pack(const FfnWeights& weights, PackedExpert& expert);
  /// Makes ready to pack quantised weights, so that `pack` may run beside `run`, of other experts.
  void expect_quantised();

  /// Makes the GEMMs for tiles of `rows` rows, and no memory for their rows.
  void make_kernels(int64_t rows);

  /// Makes GEMMs and memory for tiles of `rows` rows, on all threads.
  void make_ready(int64_t rows);

  /// Rows of the GEMM for a tile of `rows` rows: as many, or more where the GEMMs need it; 0 where
  /// make_ready was not called.
  int64_t gemm_rows(int64_t rows) const { return gemm_rows_[rows]; }

  /// tile.out <- the expert of tile.x, on thread `thread`, which must have OmpThreads(1) in force.
  /// Allocates nothing of its own.
  void run(int thread, const PackedExpert& expert, const TileRows& tile);

  int64_t scratch_bytes() const;
  const std::string& implementation() const { return implementation_; }

 private:
  enum Gemm { kGate, kUp, kDown, kGemms };

  struct Thread {
    Buffer rows;    // x, and later the result: [rows, hidden_size] of operand_
    Buffer gate;    // [rows, ffn_size] of gate_type()
    Buffer up;      // [rows, ffn_size], fp32; silu only
    Buffer hidden;  // [rows, ffn_size] of operand_, where gate itself is not
    Buffer scratch;
  };

  bool gated() const { return shape_.activation == Activation::silu; }
  DType gate_type() const { return gated() ? DType::f32 : operand_; }
  bool emulates_bf16() const { return dtype_ != operand_; }
  void pack(Gemm gemm, ConstMatrixView weights, const QuantisedView& quantised,
            ConstMatrixView bias, PackedExpert::Linear& linear);
  QuantisedLinear& quantised_gemm(Gemm gemm);
  void reserve(Thread& thread, int64_t rows) const;
  void activate(Thread& thread, int64_t rows) const;

  FfnShape shape_;
  DType dtype_;
  GemmMaker maker_;
  DType operand_;
  std::array<LinearSpec, kGemms> specs_;
  std::optional<TileGemms> gemms_;  // by Gemm; kUp with silu only
  // The same, of weights that are quantised, once there are any.
  std::array<std::unique_ptr<QuantisedLinear>, kGemms> quantised_gemms_;
  std::vector<int64_t> gemm_rows_;  // as TileGemms has them, once there is memory too
  std::vector<Thread> threads_;
  std::string implementation_;
};

}  // namespace hashep
