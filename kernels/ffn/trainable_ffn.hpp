// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "hashep/backend.hpp"
#include "hashep/split.hpp"
#include "hashep/tensor_view.hpp"
#include "kernels/ffn/ffn_layout.hpp"
#include "kernels/ffn/tiles.hpp"

namespace hashep {

/// What forward keeps of rows for backward, as views: of f32 or bf16, as the rows are.
struct FfnTape {
  MatrixView x = {};  // [rows, hidden_size]
  MatrixView z = {};  // [rows, preactivation_size]; no memory: backward computes them again
};

/// Rows on their way back through FFNs, all of them of f32 or bf16 as the rows of forward were.
struct FfnBackwardRows {
  MatrixView gradient;  // [rows, hidden_size]: comes as that of the outputs, before they are
                        // weighted, goes as that of the inputs
  ConstMatrixView x;    // [rows, hidden_size]: as kept by forward
  MatrixView z;         // [rows, preactivation_size]: as kept by forward; then its gradient
  bool has_z = true;    // else z is memory alone, and is computed again
  MatrixView kept;      // [rows, hidden_size]: takes the gradient of the outputs
  MatrixView hidden;    // [rows, ffn_size]: takes the weighted hidden activation
  const float* weights = nullptr;     // [rows]: of the outputs; null: `weight` each
  float weight = 1.0f;                //
  float* weight_gradients = nullptr;  // [rows]; null: not wanted
};

/// Rows whose gradients of parameters are summed in one array, as FfnLayout has it.
struct GradientSum {
  Range rows;
  float* gradient = nullptr;
};

/// Feed-forward experts that are trained: parameters in fp32 with their gradients, and packed for
/// the GEMMs of both directions; on tiles as ExpertFfn runs them, with its numbers, and its bits
/// (below AVX-512, and with LIBXSMM, where ffn_size is a multiple of 32). Forward keeps
/// what backward needs: where z is kept or computed again, gradients have the same bits. In bf16
/// rows, pre-activations (for backward) and all their gradients are rounded to bf16; sums, and
/// gradients of parameters, are fp32. Not thread-safe: one caller at a time. Local.
class TrainableFfn {
 public:
  /// Throws InputError as ExpertFfn does.
  TrainableFfn(const FfnLayout& layout, DType dtype, int64_t num_experts, int threads,
               GemmLibrary library = GemmLibrary::automatic);
  ~TrainableFfn();
  TrainableFfn(TrainableFfn&&) noexcept;
  TrainableFfn& operator=(TrainableFfn&&) noexcept;

  const FfnLayout& layout() const;

  /// Takes an expert's weights as its parameters, and packs them. Throws InputError where a shape
  /// is not that of the layout, or there are other biases.
  void set_expert(int64_t expert, const FfnWeights& weights);

  /// An expert's parameters and their gradients, as the layout has them. After parameters have
  /// changed, `pack`.
  std::span<float> values(int64_t expert);
  std::span<float> gradients(int64_t expert);
  /// Packs an expert's parameters for the GEMMs. Allocates nothing after the first time.
  void pack(int64_t expert);

  /// Makes ready for rows of these experts, for both directions. Ahead of the step.
  void prepare(std::span<const int64_t> expert_offsets);
  /// Makes ready for tiles of exactly so many rows (ExpertFfn::prepare_aligned).
  void prepare_aligned(int64_t tile_rows);
  /// Makes the GEMMs alone, for tiles of up to so many rows.
  void prepare_all_tiles(int64_t most_rows);

  /// Rows in place, as ExpertFfn::run_tiles, and what to keep of them in `tape`, whose matrices
  /// have the rows of `rows`, or none to keep nothing.
  void forward(std::span<const ExpertTile> tiles, MatrixView rows, int64_t first_expert,
               const FfnTape& tape);

  /// As ExpertFfn::run_aligned. tape: only z is kept.
  void forward_aligned(ConstMatrixView x, int64_t first_row, int64_t tile_rows, MatrixView out,
                       int64_t expert, const FfnTape& tape);

  /// The gradients of these tiles' inputs, pre-activations and weights.
  void backward(std::span<const ExpertTile> tiles, const FfnBackwardRows& rows,
                int64_t first_expert);

  /// Adds to the gradients of parameters those of rows that `backward` has been over: sums in fp32
  /// whose order follows from the number of rows alone.
  void add_gradients(std::span<const GradientSum> sums, const FfnBackwardRows& rows);

  /// Bytes of packed weights, of parameters and gradients, and of scratch for all threads.
  int64_t packed_bytes() const;
  int64_t parameter_bytes() const;
  int64_t scratch_bytes() const;

  std::string_view implementation() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hashep
