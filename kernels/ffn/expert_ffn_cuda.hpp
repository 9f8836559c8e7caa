// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "hashep/backend.hpp"
#include "kernels/ffn/device_tiles.hpp"
#include "kernels/ffn/expert_weights_cuda.hpp"
#include "kernels/ffn/fused_experts_cuda.hpp"
#include "kernels/gemm/gemm_lanes_cuda.hpp"
#include "kernels/gemm/grouped_gemm_cublas.hpp"
#include "kernels/gemm/linear_gemm_cublas.hpp"

namespace hashep {

/// One layer's work for the experts, as a plan sets it: filled ahead of the step, memory reused.
struct ExpertWork {
  /// A tile, the part of the work it belongs to, and the lane it runs on.
  struct Tile {
    ExpertTile tile;
    int part = 0;
    int lane = 0;
  };
  std::vector<Tile> tiles;  // per_expert; by part
  int64_t first_expert = 0;
  int num_parts = 1;

  // grouped: the experts with rows. cuBLAS reads the matrices' addresses in GPU memory: whoever
  // holds the work uploads `addresses` and says where.
  std::vector<ExpertTile> groups;
  std::vector<int> group_rows;
  std::vector<const std::byte*> addresses;  // [6, groups]: x, w1 (and w3), pre-activations, hidden,
                                            // w2, y
  std::span<const std::byte* const> uploaded;  // addresses, in GPU memory

  FusedWork fused;

  /// Adds what the GPU reads. Called twice for each work (see ArrayLayout).
  void lay_out(ArrayLayout& arrays);
};

/// Feed-forward experts of one shape on a GPU: GEMM -> activation -> GEMM by cuBLAS. Numbers
/// (docs/design.md): fp32 is all fp32, TF32 off; bf16 has bf16 operands, fp32 sums, the hidden
/// activation and the result rounded to bf16. A row's bits depend on its place among its expert's
/// rows and on their number alone, never on ep_size (`grouped`: as far as cuBLAS chooses alike for
/// any group). Local. `fused`: a row's bits depend on the row and its expert alone.
class DeviceExpertFfn {
 public:
  /// `num_experts` of `shape`, in `dtype` (f32 or bf16). `lanes` and `lt` must outlive this. Throws
  /// InputError where `grouping` is not to be had for them.
  DeviceExpertFfn(const FfnShape& shape, DType dtype, int64_t num_experts, GemmGrouping grouping,
                  const CublasLtHandle& lt, GemmLanes& lanes);

  /// Converts one expert's weights and copies them to the GPU. Waits for the copy.
  void set_expert(int64_t expert, const FfnWeights& weights) { weights_.set(expert, weights); }

  /// Makes room for up to `rows` rows of a layer, ahead of `prepare`. True where scratch has moved.
  bool reserve(int64_t rows);

  /// Plans the experts' work on rows [expert_offsets[i], expert_offsets[i + 1]) by expert
  /// first_expert + i, in place in `rows` [expert_offsets.back(), hidden_size] of GPU memory:
  /// tiles, algorithms, scratch. Host work, ahead of the step. True where scratch has moved. A tile
  /// is of one part, and its edges depend on no part; `grouped` does all in the last, `fused` all
  /// rows of an expert in one.
  bool prepare(std::span<const int64_t> expert_offsets, int64_t first_expert, MatrixView rows,
               const WorkParts& parts, ExpertWork& work);
  /// The same for tokens in `tiles`, all by expert `expert`: for shared experts. Always per_expert.
  bool prepare_shared(const SharedTiles& tiles, int64_t expert, ExpertWork& work);

  /// to.row(i) <- expert(from.row(i)) for the rows of a part of `work`, in stream order. from, to:
  /// [rows, hidden_size] in GPU memory, the same or apart. Allocates nothing, waits for nothing.
  void run(const ExpertWork& work, int part, MatrixView from, MatrixView to,
           DeviceStream stream) const;

  int64_t weight_bytes() const { return weights_.bytes(); }
  /// Bytes of memory between the GEMMs that is not the lanes'.
  int64_t scratch_bytes() const;

 private:
  bool prepare_tiles(ExpertWork& work);
  void prepare_groups(std::span<const int64_t> expert_offsets, MatrixView rows, ExpertWork& work);
  void run_tile(const ExpertWork::Tile& tile, int64_t expert, MatrixView from, MatrixView to) const;
  void run_groups(const ExpertWork& work, MatrixView to, DeviceStream stream) const;
  int64_t pre_cols() const { return first_gemm_.shape().out_cols; }

  FfnShape shape_;
  DType dtype_;
  GemmGrouping grouping_;
  GemmLanes& lanes_;
  DeviceExpertWeights weights_;
  LinearGemm first_gemm_;   // [rows, d] -> pre-activations [rows, f or 2 f], fp32
  LinearGemm second_gemm_;  // [rows, f] -> [rows, d]

  std::optional<FusedExperts> fused_;  // where that is the grouping

  // grouped
  std::optional<GroupedGemm> first_groups_;
  std::optional<GroupedGemm> second_groups_;
  DeviceBuffer pre_;
  DeviceBuffer hidden_;
};

}  // namespace hashep
