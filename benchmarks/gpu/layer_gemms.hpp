// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "benchmarks/gpu/layer_case.hpp"
#include "core/cuda/device_buffer.hpp"
#include "kernels/gemm_lanes_cuda.hpp"
#include "kernels/linear_gemm_cublas.hpp"

namespace hashep::bench {

/// The GEMMs of one layer with nothing else: as the experts issue them, and as two dense ones of
/// all rows by one weight matrix. Operands are random.
class LayerGemms {
 public:
  LayerGemms(const LayerCase& c, int lanes);

  /// [rows, d] x [2 f, d]^T and [rows, f] x [d, f]^T.
  void run_dense(DeviceStream stream) const;
  /// The same shapes tile by tile, on lanes.
  void run_tiles(DeviceStream stream) const;

 private:
  LayerSizes sizes_;
  int64_t rows_;
  CublasLtHandle lt_;
  GemmLanes lanes_;
  LinearGemm dense_first_;
  LinearGemm dense_second_;
  LinearGemm first_;
  LinearGemm second_;
  std::vector<ExpertTile> tiles_;
  DeviceBuffer x_;       // [rows, d]
  DeviceBuffer hidden_;  // [rows, f]
  DeviceBuffer w13_;     // [num_experts, 2 f, d]
  DeviceBuffer w2_;      // [num_experts, d, f]
  DeviceBuffer pre_;     // [rows, 2 f], fp32
  DeviceBuffer y_;       // [rows, d]
};

}  // namespace hashep::bench
