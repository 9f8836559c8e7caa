// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/gemm/packed_linear.hpp"

namespace hashep {

/// GEMMs that take tiles of rows through an FFN, made for the row counts of tiles.
class TileGemms {
 public:
  /// Some may be null.
  explicit TileGemms(std::vector<std::unique_ptr<PackedLinear>> gemms);

  /// Makes the GEMMs for tiles of `rows` rows.
  void make_kernels(int64_t rows);

  /// Rows of the GEMMs for a tile of `rows` rows: as many, or more where one of them needs it; 0
  /// where they were not made.
  int64_t rows(int64_t rows) const { return kernel_rows_[rows]; }

  PackedLinear& operator[](size_t gemm) const { return *gemms_[gemm]; }

  /// The most scratch that one of them takes for GEMMs of `rows` rows.
  int64_t scratch_bytes(int64_t rows) const;

 private:
  bool make_gemms(int64_t rows);

  std::vector<std::unique_ptr<PackedLinear>> gemms_;
  std::vector<int64_t> kernel_rows_;  // by rows of a tile; 0: no kernels
};

}  // namespace hashep
