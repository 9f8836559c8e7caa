// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/graph.hpp"

#include <memory>
#include <utility>

#include "core/cuda/check_cuda.hpp"

namespace hashep {
namespace {

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const {
    warn_cuda(cudaGraphDestroy(graph), "cudaGraphDestroy");
  }
};
using OwnedGraph = std::unique_ptr<CUgraph_st, DestroyGraph>;

OwnedGraph capture(DeviceStream stream, const std::function<void()>& work) {
  // Thread-local: other threads' calls, and calls on other streams of this one, go on as ever.
  check_cuda(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal),
             "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    // The capture may be broken already; either way it is over, and the first error is the one.
    if (cudaStreamEndCapture(stream.handle, &graph) != cudaSuccess) cudaGetLastError();
    const OwnedGraph unused(graph);
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream.handle, &graph), "cudaStreamEndCapture");
  return OwnedGraph(graph);
}

}  // namespace

CudaGraph::CudaGraph(DeviceStream stream, const std::function<void()>& work) {
  const OwnedGraph graph = capture(stream, work);
  size_t nodes = 0;
  check_cuda(cudaGraphGetNodes(graph.get(), nullptr, &nodes), "cudaGraphGetNodes");
  num_nodes_ = static_cast<int64_t>(nodes);
  check_cuda(cudaGraphInstantiate(&handle_, graph.get(), 0), "cudaGraphInstantiate");
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
