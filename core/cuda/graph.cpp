// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/graph.hpp"

#include <utility>

#include "core/cuda/check_cuda.hpp"

namespace hashep {
namespace {

/// Captures into a graph that the caller destroys.
cudaGraph_t capture(DeviceStream stream, const std::function<void()>& work) {
  // Thread-local: other threads' calls, and calls on other streams of this one, go on as ever.
  check_cuda(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal),
             "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    // The capture may be broken already; either way it is over, and the first error is the one.
    if (cudaStreamEndCapture(stream.handle, &graph) != cudaSuccess) cudaGetLastError();
    if (graph != nullptr) warn_cuda(cudaGraphDestroy(graph), "cudaGraphDestroy");
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream.handle, &graph), "cudaStreamEndCapture");
  return graph;
}

}  // namespace

CudaGraph::CudaGraph(DeviceStream stream, const std::function<void()>& work) {
  cudaGraph_t graph = capture(stream, work);
  size_t nodes = 0;
  cudaError_t code = cudaGraphGetNodes(graph, nullptr, &nodes);
  if (code == cudaSuccess) code = cudaGraphInstantiate(&handle_, graph, 0);
  warn_cuda(cudaGraphDestroy(graph), "cudaGraphDestroy");
  check_cuda(code, "cudaGraphInstantiate");
  num_nodes_ = static_cast<int64_t>(nodes);
}

CudaGraph::~CudaGraph() {
  if (handle_ != nullptr) warn_cuda(cudaGraphExecDestroy(handle_), "cudaGraphExecDestroy");
}

CudaGraph::CudaGraph(CudaGraph&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), num_nodes_(other.num_nodes_) {}

void CudaGraph::launch(DeviceStream stream) const {
  check_cuda(cudaGraphLaunch(handle_, stream.handle), "cudaGraphLaunch");
}

}  // namespace hashep
