// SPDX-License-Identifier: Apache-2.0
// The runtime's calls about captures and graphs.
#include <cuda_runtime_api.h>

#include <memory>
#include <utility>
#include <vector>

#include "tests/standin/state.hpp"

using namespace hashep::test::standin;

namespace {

/// Queues one replay after the graph's last one. Each record of an event in it is one of its own.
cudaError_t launch(CUgraphExec_st& graph, CUstream_st& stream) {
  const GraphNodes& nodes = *graph.nodes;
  for (const GraphNode& node : nodes) {
    if (node.event != nullptr && state().events.find(node.event) == nullptr) {
      return cudaErrorInvalidResourceHandle;
    }
  }
  if (graph.last_launch != nullptr) push_wait(stream, graph.last_launch);
  for (const GraphNode& node : nodes) {
    if (!may_use(stream, node.workspace)) return cudaErrorInvalidValue;
  }
  std::vector<std::shared_ptr<Signal>> signals(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].event == nullptr) continue;
    signals[i] = std::make_shared<Signal>();
    signals[i]->stream = &stream;
    signals[i]->position = stream.asked + 1;
    note_replay(*nodes[i].event, signals[i]);
  }
  push(stream, {}, replay(graph.nodes, signals));  // its nodes stand in queues
  for (const GraphNode& node : nodes) note_use(stream, node.workspace);
  graph.last_launch = push_record(stream);
  for (const auto& signal : signals) {
    if (signal != nullptr) signal->clock = stream.clock;
  }
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return cuda_call("cudaStreamIsCapturing", [&] {
    const CUstream_st* found = find_stream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    *status = found->capture == nullptr ? cudaStreamCaptureStatusNone
              : found->capture->broken  ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return cuda_call("cudaStreamBeginCapture", [&] {
    CUstream_st* found = find_stream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    if (mode == cudaStreamCaptureModeRelaxed) return cudaErrorNotSupported;
    return begin_capture(*found);
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const cudaError_t code = cuda_release("cudaStreamEndCapture", [&] {
    CUstream_st* found = find_stream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    GraphNodes nodes;
    if (const cudaError_t ended = end_capture(*found, nodes); ended != cudaSuccess) return ended;
    auto made = std::make_unique<CUgraph_st>();
    made->nodes = std::make_shared<const GraphNodes>(std::move(nodes));
    *graph = state().graphs.add(std::move(made));
    return cudaSuccess;
  });
  if (code != cudaSuccess) {
    state().graphs.remove(*graph);
    *graph = nullptr;
  }
  return code;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return cuda_call("cudaGraphGetNodes", [&] {
    const CUgraph_st* found = state().graphs.find(graph);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    if (nodes != nullptr) return cudaErrorNotSupported;
    *count = found->nodes->size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags) {
  return cuda_call("cudaGraphInstantiate", [&] {
    const CUgraph_st* found = state().graphs.find(graph);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    if (flags != 0) return cudaErrorNotSupported;
    auto made = std::make_unique<CUgraphExec_st>();
    made->nodes = found->nodes;
    state().last_graph = found->nodes;
    *exec = state().graph_execs.add(std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return cuda_release("cudaGraphDestroy", [&] {
    return state().graphs.remove(graph) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return cuda_release("cudaGraphExecDestroy", [&] {
    return state().graph_execs.remove(exec) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return cuda_call("cudaGraphLaunch", [&] {
    CUgraphExec_st* graph = state().graph_execs.find(exec);
    CUstream_st* found = find_stream(stream);
    if (graph == nullptr || found == nullptr) return cudaErrorInvalidResourceHandle;
    if (found->capture != nullptr) return cudaErrorNotSupported;  // a graph in a graph
    return launch(*graph, *found);
  });
}

}  // extern "C"
