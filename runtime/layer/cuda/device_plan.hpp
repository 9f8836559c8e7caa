// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/exchange/transport.hpp"
#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "hashep/batch_plan.hpp"
#include "kernels/ffn/expert_ffn_cuda.hpp"

namespace hashep {

/// One layer's plan as a step needs it: arrays in GPU memory, shapes on the host.
struct DeviceLayerPlan {
  int64_t rows = 0;  // that kernels cover: the tokens, and padding behind them
  int top_k = 1;
  std::unique_ptr<Exchange> exchange;
  MatrixView expert_rows;  // [total_recv, hidden_size]
  ExpertWork routed;
  ExpertWork shared;
};

/// The plans of all layers of one batch in GPU memory. They go there in one copy from pinned
/// memory, on a stream of their own, while earlier steps run.
class DevicePlan {
 public:
  /// `transport` must outlive this.
  DevicePlan(Transport& transport, int64_t num_layers);

  /// A new plan takes the place of the one before, whose step is done or has not been asked for:
  /// begins the exchanges of `layers()`, whose ExpertWork the caller then prepares. The transport
  /// has room for it. Kernels cover `rows` rows of tokens (see Exchange::pad_to). Ahead of
  /// the step; the plan must stay until `upload` has returned.
  void begin(const BatchPlan& plan, int64_t rows);

  /// Copies all arrays, on the stream of uploads; the step that used them last is done. True where
  /// the arrays, or what they are copied from, have moved. Ahead of the step.
  bool upload(const CudaStream& uploads, const BeforeFree& before_free);

  /// `stream` goes on when the arrays are there.
  void wait_uploaded(DeviceStream stream) const { wait_for(stream, uploaded_); }
  /// What `stream` was asked for so far is the last that reads the arrays.
  void used(DeviceStream stream) const { used_.record(stream); }
  /// Whether that is done.
  bool is_done() const { return used_.is_done(); }

  std::span<DeviceLayerPlan> layers() { return layers_; }
  /// Bytes in GPU memory.
  int64_t bytes() const { return arrays_.capacity(); }

 private:
  void lay_out(ArrayLayout& layout);

  Transport& transport_;
  std::vector<DeviceLayerPlan> layers_;
  PinnedBuffer staging_;
  DeviceBuffer arrays_;
  CudaEvent uploaded_;
  CudaEvent used_;
};

}  // namespace hashep
