// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cutlass/epilogue/collective/detail.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/group_array_problem_shape.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

#include "kernels/gemm/fused_epilogue.cuh"

namespace hashep {

/// CUTLASS's grouped GEMM for sm_90 as fused GEMMs use it. Guesses that are still to be measured:
/// the tile, and one block a cluster.
struct FusedKernel {
  using Shape = cute::Shape<int, int, int>;
  using Shapes = cutlass::gemm::GroupProblemShape<Shape>;
  using Element = cutlass::bfloat16_t;
  static constexpr int kAlignment = static_cast<int>(kFusedAlignment);
  using Tile = cute::Shape<cute::_128, cute::_128, cute::_64>;
  using Cluster = cute::Shape<cute::_1, cute::_1, cute::_1>;

  using Store = cutlass::epilogue::collective::detail::Sm90TmaWarpSpecializedAdapter<FusedStore>;
  using Mainloop = cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Element, cutlass::layout::RowMajor*,
      kAlignment, Element, cutlass::layout::ColumnMajor*, kAlignment, float, Tile, Cluster,
      cutlass::gemm::collective::StageCountAutoCarveout<sizeof(Store::SharedStorage)>,
      cutlass::gemm::KernelPtrArrayTmaWarpSpecializedCooperative>::CollectiveOp;
  using Kernel = cutlass::gemm::kernel::GemmUniversal<Shapes, Mainloop, Store>;

  // What the caller uploads is what the kernel reads.
  static_assert(sizeof(GroupShape) == sizeof(Shape) && alignof(GroupShape) == alignof(Shape));
  static_assert(sizeof(Kernel::InternalStrideA) == sizeof(int64_t));
  static_assert(sizeof(Kernel::InternalStrideB) == sizeof(int64_t));
};

}  // namespace hashep
