// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/tile_gemms.hpp"

#include <algorithm>
#include <utility>

#include "kernels/ffn/tiles.hpp"

namespace hashep {

TileGemms::TileGemms(std::vector<std::unique_ptr<PackedLinear>> gemms)
    : gemms_(std::move(gemms)), kernel_rows_(kMostTileRows + 1) {}

void TileGemms::make_kernels(int64_t rows) {
  int64_t& kernel_rows = kernel_rows_[rows];
  if (kernel_rows != 0) return;
  int64_t wanted = rows;
  if (!make_gemms(rows)) {
    wanted = kMostTileRows;
    make_gemms(wanted);
  }
  kernel_rows = wanted;
}

bool TileGemms::make_gemms(int64_t rows) {
  return std::ranges::all_of(
      gemms_, [rows](const auto& gemm) { return gemm == nullptr || gemm->make_ready(rows); });
}

int64_t TileGemms::scratch_bytes(int64_t rows) const {
  int64_t bytes = 0;
  for (const auto& gemm : gemms_) {
    if (gemm != nullptr) bytes = std::max(bytes, gemm->scratch_bytes(rows));
  }
  return bytes;
}

}  // namespace hashep
