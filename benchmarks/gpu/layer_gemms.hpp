// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "benchmarks/gpu/layer_case.hpp"
#include "core/cuda/device_buffer.hpp"
#include "kernels/gemm/gemm_lanes_cuda.hpp"
#include "kernels/gemm/linear_gemm_cublas.hpp"

namespace hashep::bench {

/// How the GEMMs of a layer, [rows, d] x [2 f, d]^T and [rows, f] x [d, f]^T, are issued.
enum class GemmWay {
  dense,         // all rows by one weight matrix; the first writes fp32, as the experts' does
  dense_narrow,  // the same but that the first writes the operands' dtype: half the bytes of bf16
  tiles          // as the experts issue them, tile by tile, on lanes; the first writes fp32
};

/// The GEMMs of one layer with nothing else. Operands are random.
class LayerGemms {
 public:
  LayerGemms(const LayerCase& c, int lanes);

  void run(GemmWay way, DeviceStream stream) const;

  /// Runs it into poisoned memory, and returns how many elements are off: of some, spread over both
  /// results, that are summed again on the host. Waits.
  int64_t count_wrong(GemmWay way) const;

 private:
  /// One of the two products, as it was done.
  struct Product {
    LinearShape shape;
    const DeviceBuffer& x;
    const DeviceBuffer& w;
    const DeviceBuffer& y;
  };

  void run_dense(const LinearGemm& first, DeviceStream stream) const;
  void run_tiles(DeviceStream stream) const;
  int64_t count_wrong_in(const Product& product, GemmWay way) const;
  /// Whose weights a row meets.
  int64_t expert_of(int64_t row, GemmWay way) const;

  LayerSizes sizes_;
  int64_t rows_;
  CublasLtHandle lt_;
  GemmLanes lanes_;
  LinearGemm dense_first_;
  LinearGemm narrow_first_;
  LinearGemm dense_second_;
  LinearGemm first_;
  LinearGemm second_;
  std::vector<ExpertTile> tiles_;
  DeviceBuffer x_;       // [rows, d]
  DeviceBuffer hidden_;  // [rows, f]
  DeviceBuffer w13_;     // [num_experts, 2 f, d]
  DeviceBuffer w2_;      // [num_experts, d, f]
  DeviceBuffer pre_;     // [rows, 2 f], fp32 or, in the dense_narrow way, the operands' dtype
  DeviceBuffer y_;       // [rows, d]
};

}  // namespace hashep::bench
