// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "kernels/expert_ffn_cuda.hpp"
#include "kernels/expert_place.hpp"
#include "runtime/exec/batch_plan.hpp"

namespace hashep {

/// One layer's plan as kernels read it: arrays in GPU memory, shapes on the host.
struct DeviceLayerPlan {
  int64_t tokens = 0;
  int top_k = 1;
  int64_t total_recv = 0;               // expert rows on this rank
  std::span<const int32_t> experts;     // [tokens * top_k]; -1: padding
  std::span<const int64_t> send_rows;   // [tokens * top_k]; -1: padding
  std::span<const ExpertPlace> places;  // [num_experts]: where send_rows lead to
  ExpertWork routed;
  ExpertWork shared;
};

/// The plans of all layers of one batch in GPU memory. They go there in one copy from pinned
/// memory, on a stream of their own, while earlier steps run.
class DevicePlan {
 public:
  /// A new plan takes the place of the one before, whose step is done or has not been asked for:
  /// sets the shapes of `layers()`, whose ExpertWork the caller then prepares. Ahead of the step.
  void begin(const BatchPlan& plan);

  /// Copies all arrays, on the stream of uploads; the step that used them last is done. The expert
  /// rows of all layers begin at `expert_rows`. True where the arrays have moved. Ahead of the
  /// step.
  bool upload(const BatchPlan& plan, std::byte* expert_rows, const CudaStream& uploads);

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
  std::vector<DeviceLayerPlan> layers_;
  PinnedBuffer staging_;
  DeviceBuffer arrays_;
  CudaEvent uploaded_;
  CudaEvent used_;
};

}  // namespace hashep
