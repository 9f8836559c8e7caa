// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cutlass/epilogue/dispatch_policy.hpp>

#include <cutlass/cutlass.h>
#include <cutlass/numeric_types.h>
#include <cute/tensor.hpp>

#include "hashep/dtype.hpp"
#include "kernels/ffn/activation_body.hpp"
#include "kernels/gemm/fused_gemm.hpp"

namespace hashep {

/// The epilogue of a fused GEMM as CUTLASS's kernel for groups calls it: every thread of the
/// multiplying warps takes the sums that it holds from registers to y. Written for accumulators of
/// which two neighbours are of neighbouring columns, and those eight columns on are four places on,
/// as those of all warp-group products of sm_90 are.
class FusedStore {
 public:
  // What the kernel asks of an epilogue. There is no C, and D is written by this class alone.
  using DispatchPolicy = cutlass::epilogue::PtrArrayNoSmemWarpSpecialized;
  using EpilogueSchedule = DispatchPolicy;
  using ElementC = cutlass::bfloat16_t;
  using ElementD = cutlass::bfloat16_t;
  using InternalStrideC = cute::Stride<int64_t, cute::_1, cute::_0>;
  using InternalStrideD = InternalStrideC;
  using StrideC = InternalStrideC*;
  using StrideD = InternalStrideD*;
  struct SharedStorage {};

  struct Arguments {
    const std::byte* const* y = nullptr;
    const float* const* bias1 = nullptr;
    const float* const* bias3 = nullptr;
    FusedEpilogue epilogue;
  };
  using Params = Arguments;

  template <typename Shapes>
  static Params to_underlying_arguments(const Shapes&, const Arguments& arguments, void*) {
    return arguments;
  }
  template <typename Shapes>
  static size_t get_workspace_size(const Shapes&, const Arguments&, int) {
    return 0;
  }

  CUTLASS_HOST_DEVICE explicit FusedStore(const Params& params) : params_(params) {}

  template <typename Shape, typename TileShape, typename TileCoord, typename Engine,
            typename Layout, typename TiledMma, typename Residue>
  CUTLASS_HOST_DEVICE void operator()(const Shape& shape, const TileShape& tile_shape,
                                      const TileCoord& tile, cute::Tensor<Engine, Layout>& sums,
                                      const TiledMma& mma, const Residue&, int thread,
                                      char*) const {
    using namespace cute;
    const auto [m, n, k, group] = tile;
    const int rows = get<0>(shape);
    const int cols = get<1>(shape);
    const auto places = local_tile(make_identity_tensor(make_shape(rows, cols)),
                                   take<0, 2>(tile_shape), make_coord(m, n));
    const auto place_of = mma.get_thread_slice(thread).partition_C(places);
    const Columns columns{reinterpret_cast<BFloat16*>(const_cast<std::byte*>(params_.y[group])),
                          params_.bias1[group],
                          params_.bias3 == nullptr ? nullptr : params_.bias3[group]};
    const bool is_gated = params_.epilogue.kind == FusedEpilogue::Kind::swiglu;
    constexpr int kUp = 4;  // from a gate's place to that of its up
    static_assert(size(Layout{}) % (2 * kUp) == 0);
    CUTLASS_PRAGMA_UNROLL
    for (int i = 0; i < size(sums); i += 2) {
      const auto [row, col] = place_of(i);
      if (row >= rows || col >= cols) continue;
      if (!is_gated) {
        store_pair(columns, row, col, cols, sums(i), sums(i + 1));
      } else if (i % (2 * kUp) < kUp) {
        store_gated(columns, row, col, cols, sums(i), sums(i + 1), sums(i + kUp),
                    sums(i + kUp + 1));
      }
    }
  }

 private:
  struct Columns {
    BFloat16* y;
    const float* bias1;
    const float* bias3;
  };

  CUTLASS_HOST_DEVICE static float add(const float* bias, int col, float sum) {
    return bias == nullptr ? sum : sum + bias[col];
  }

  CUTLASS_HOST_DEVICE float activated(float z) const {
    if (params_.epilogue.kind == FusedEpilogue::Kind::relu) return relu(z);
    return params_.epilogue.kind == FusedEpilogue::Kind::gelu ? gelu(z) : z;
  }

  CUTLASS_HOST_DEVICE void store_pair(const Columns& columns, int row, int col, int cols, float a,
                                      float b) const {
    const float pair[2] = {activated(add(columns.bias1, col, a)),
                           activated(add(columns.bias1, col + 1, b))};
    store_floats<BFloat16, 2>(pair, columns.y + int64_t{row} * cols + col);
  }

  /// `col`: the gate's, of W's rows as they are stored.
  CUTLASS_HOST_DEVICE void store_gated(const Columns& columns, int row, int col, int cols,
                                       float gate0, float gate1, float up0, float up1) const {
    constexpr int kBlock = static_cast<int>(kGatedBlock);
    const int hidden = col / (2 * kBlock) * kBlock + col % kBlock;
    const float limit = params_.epilogue.limit;
    const float pair[2] = {
        swiglu(add(columns.bias1, hidden, gate0), add(columns.bias3, hidden, up0), limit),
        swiglu(add(columns.bias1, hidden + 1, gate1), add(columns.bias3, hidden + 1, up1), limit)};
    store_floats<BFloat16, 2>(pair, columns.y + int64_t{row} * (cols / 2) + hidden);
  }

  Params params_;
};

}  // namespace hashep
