// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu/fused_epilogue_on_host.hpp"

#include "kernels/gemm/fused_kernel.cuh"

namespace hashep::test {

std::vector<BFloat16> run_epilogue(const std::vector<float>& sums, int rows, int cols,
                                   const FusedEpilogue& epilogue, const float* bias1,
                                   const float* bias3) {
  using namespace cute;
  const bool is_gated = epilogue.kind == FusedEpilogue::Kind::swiglu;
  const int64_t size = int64_t{rows} * (is_gated ? cols / 2 : cols) + kMargin;
  std::vector<BFloat16> y(size, static_cast<BFloat16>(NAN));
  const auto* const address = reinterpret_cast<const std::byte*>(y.data());
  const FusedStore store({&address, &bias1, &bias3, epilogue});

  const FusedKernel::Tile tile;
  const FusedKernel::Kernel::TiledMma mma;
  const auto places = make_identity_tensor(make_shape(rows, cols));
  for (int m = 0; m * get<0>(tile) < rows; ++m) {
    for (int n = 0; n * get<1>(tile) < cols; ++n) {
      const auto of_tile = local_tile(places, take<0, 2>(tile), make_coord(m, n));
      for (int thread = 0; thread < static_cast<int>(cute::size(mma)); ++thread) {
        auto held = partition_fragment_C(mma, take<0, 2>(tile));
        const auto place_of = mma.get_thread_slice(thread).partition_C(of_tile);
        for (int i = 0; i < cute::size(held); ++i) {
          const auto [row, col] = place_of(i);
          const bool is_inside = row < rows && col < cols;
          held(i) = is_inside ? sums[static_cast<size_t>(row) * cols + col] : NAN;
        }
        store(make_shape(rows, cols, 64, 1), tile, make_coord(m, n, 0, 0), held, mma,
              make_tuple(0, 0, 0), thread, nullptr);
      }
    }
  }
  return y;
}

}  // namespace hashep::test
