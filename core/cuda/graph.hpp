// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "core/device_stream.hpp"

struct CUgraphExec_st;  // CUDA's own name for what cudaGraphExec_t points to

namespace hashep {

/// Owns a captured sequence of GPU work that can be launched again and again. It holds the
/// addresses that were used while it was captured: those buffers must outlive it, unmoved.
class CudaGraph {
 public:
  /// Captures what `work` asks of `stream`, and of streams that it makes wait for it and that it
  /// waits for again; nothing of it is done yet. Work that allocates or waits for the GPU cannot be
  /// captured: RunError. What `work` throws ends the capture and is thrown on.
  CudaGraph(DeviceStream stream, const std::function<void()>& work);
  ~CudaGraph();
  CudaGraph(CudaGraph&& other) noexcept;
  CudaGraph& operator=(CudaGraph&&) = delete;

  /// Does the captured work once, in stream order.
  void launch(DeviceStream stream) const;

  int64_t num_nodes() const { return num_nodes_; }

 private:
  CUgraphExec_st* handle_ = nullptr;
  int64_t num_nodes_ = 0;
};

}  // namespace hashep
