// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "hashep/backend.hpp"
#include "hashep/ffn_shape.hpp"
#include "hashep/tensor_view.hpp"
#include "kernels/ffn/tiles.hpp"

namespace hashep {

/// Feed-forward experts with packed weights: grouped GEMM -> activation -> grouped GEMM, run by
/// `threads` threads over row tiles, each tile by one thread, so that the thread count changes no
/// bit. Numbers (docs/design.md): fp32 is all fp32; bf16 has bf16 operands, fp32 sums, the hidden
/// activation and the result rounded to bf16. Not thread-safe: one caller at a time. Local, not
/// collective.
class ExpertFfn {
 public:
  /// Room for `num_experts` experts of one shape; `dtype` is that of the activations, f32 or bf16.
  /// Throws InputError on bad sizes, and where this build or machine lacks the library.
  ExpertFfn(const FfnShape& shape, DType dtype, int64_t num_experts, int threads,
            GemmLibrary library = GemmLibrary::automatic);
  ~ExpertFfn();
  ExpertFfn(ExpertFfn&&) noexcept;
  ExpertFfn& operator=(ExpertFfn&&) noexcept;

  /// Converts and packs one expert's weights, in the place of those that it had; the borrowed
  /// weights are not needed afterwards. threads: that pack it; 0: all. Throws InputError where a
  /// shape is not that of FfnShape.
  void set_expert(int64_t expert, const FfnWeights& weights, int threads = 0);
  /// Makes ready for quantised weights: from then on another thread may call set_expert while
  /// others of its experts run.
  void expect_quantised();

  /// Makes ready all that `run` needs for these row counts: kernels for tile shapes not met before
  /// and scratch memory. Part of planning, ahead of the step.
  void prepare(std::span<const int64_t> expert_offsets);

  /// Makes the kernels for all tiles of experts of up to `most_rows` rows, so that no batch meets a
  /// new one (each takes up to some milliseconds to make). Scratch memory is left to `prepare`.
  void prepare_all_tiles(int64_t most_rows);
  /// The same for `run_aligned` with this tile size.
  void prepare_aligned_kernels(int64_t tile_rows);

  /// rows [expert_offsets[i], expert_offsets[i+1]) <- expert first_expert + i of them, in place,
  /// for all i (the experts of a layer stack may stand in one ExpertFfn, a layer's in consecutive
  /// places). rows: [expert_offsets.back(), hidden_size]. Allocates nothing of its own.
  void run(std::span<const int64_t> expert_offsets, MatrixView rows, int64_t first_expert = 0);

  /// Some of the tiles of `run`, as for_each_tile lists them: in any order and grouping they give
  /// the bits that `run` gives.
  void run_tiles(std::span<const ExpertTile> tiles, MatrixView rows, int64_t first_expert = 0);

  /// Like `prepare`, for `run_aligned` with this tile size.
  void prepare_aligned(int64_t tile_rows);

  /// out.row(i) <- expert `expert` of x.row(i), where x.row(0) is row `first_row` of the global
  /// batch: row i stands in row (first_row + i) mod tile_rows of a GEMM of exactly tile_rows rows
  /// (see shared_tile_rows). x, out: [n, hidden_size]; must not overlap. For shared experts.
  void run_aligned(ConstMatrixView x, int64_t first_row, int64_t tile_rows, MatrixView out,
                   int64_t expert = 0);

  /// Bytes of packed weights held, and of scratch for the tiles of all threads.
  int64_t weight_bytes() const;
  int64_t scratch_bytes() const;

  /// What the GEMMs run on, for people: library, version, instruction set, and whether bf16 is
  /// native or computed in fp32 on bf16-rounded operands (the same semantics, without bf16 speed).
  std::string_view implementation() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hashep
