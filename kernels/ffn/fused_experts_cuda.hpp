// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/array_layout.hpp"
#include "core/cuda/device_buffer.hpp"
#include "hashep/split.hpp"
#include "kernels/ffn/expert_weights_cuda.hpp"
#include "kernels/gemm/fused_gemm.hpp"

namespace hashep {

/// Work that is done part by part, as rows land: the part that expert-major rows belong to.
struct WorkParts {
  int count = 1;
  std::function<int(Range)> part_of;  // empty: all in part 0

  int of(Range rows) const { return part_of ? part_of(rows) : 0; }
};

/// One layer's work for fused experts: all that the GPU reads of a plan's counts. A part has the
/// shapes of its own experts, and no rows for the others.
struct FusedWork {
  int groups = 0;                           // experts, with rows or without
  std::vector<GroupShape> shapes;           // [parts, 2, groups]: of the first and second GEMM
  std::vector<int64_t> strides;             // [2, groups]
  std::vector<const std::byte*> addresses;  // [kMatrices, groups]

  // The same in GPU memory: whoever holds the work copies it there (lay_out).
  std::span<const GroupShape> gpu_shapes;
  std::span<const int64_t> gpu_strides;
  std::span<const std::byte* const> gpu_addresses;

  void lay_out(ArrayLayout& arrays);
};

/// The experts of a layer in two launches, whatever their rows: x W1^T with the activation in its
/// epilogue, then W2. Nothing of a launch depends on counts, so that a captured one serves any plan
/// (see FusedGemm). For bf16. The rows of a layer's hidden activations are in memory at once.
class FusedExperts {
 public:
  /// Throws InputError where these experts, or this GPU, have no fused GEMMs.
  FusedExperts(const FfnShape& shape, DType dtype);

  /// Makes room for the hidden activations of `rows` rows. True where they have moved.
  bool reserve(int64_t rows, const BeforeFree& before_free);

  /// Describes work on rows [expert_offsets[i], expert_offsets[i + 1]) by expert first_expert + i
  /// of `weights` (WeightOrder::in_blocks), in place in `rows`. Host work, ahead of the step; there
  /// is room.
  void prepare(const DeviceExpertWeights& weights, std::span<const int64_t> expert_offsets,
               int64_t first_expert, MatrixView rows, const WorkParts& parts,
               FusedWork& work) const;

  /// Does a part of it, in stream order. All parts on one stream.
  void run(const FusedWork& work, int part, DeviceStream stream) const;

  int64_t scratch_bytes() const { return hidden_.capacity() + workspace_.capacity(); }

 private:
  FfnShape shape_;
  DType dtype_;
  DeviceBuffer hidden_;     // [rows, ffn_size]
  DeviceBuffer workspace_;  // of one launch at a time
};

}  // namespace hashep
