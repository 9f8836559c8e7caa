// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "tests/standin/queue.hpp"

namespace hashep::test::standin {

/// A node of a graph: work, or the record of an event.
struct GraphNode {
  Work work = {};
  CUevent_st* event = nullptr;
  const void* workspace = nullptr;  // that it uses, or null
  MemoryRanges memory = {};         // whose addresses it has
  Engine engine = Engine::compute;
  bool is_polled = false;       // others must do something for it
  std::set<size_t> after = {};  // earlier nodes

  std::set<size_t> all_before = {};  // all that it comes after, through others too
};
using GraphNodes = std::vector<GraphNode>;

/// Streams whose work is being recorded into one graph.
struct Capture {
  CUstream_st* origin = nullptr;
  std::vector<CUstream_st*> streams;
  GraphNodes nodes;
  bool broken = false;  // something was asked for that no capture may hold
  bool over = false;
};

cudaError_t begin_capture(CUstream_st& stream);
/// Adds a node after all that the stream was asked for in the capture.
cudaError_t capture_node(CUstream_st& stream, GraphNode node);
/// Notes the place in the capture that the event stands for from now on.
cudaError_t capture_record(CUstream_st& stream, CUevent_st& event);
/// A wait where the stream is captured or the event was recorded in a capture.
cudaError_t capture_wait(CUstream_st& stream, CUevent_st& event);
/// Ends the capture whatever comes of it; `nodes` is filled where it is cudaSuccess.
cudaError_t end_capture(CUstream_st& stream, GraphNodes& nodes);
/// Takes a stream that is destroyed out of its capture, which it breaks.
void leave_capture(CUstream_st& stream);

/// For calls that no capture may hold: breaks those in progress and returns the error. Which
/// streams and events may be asked about during a capture depends on its mode; a step has no call
/// to ask about any, so all are refused.
cudaError_t refuse_in_capture();

/// One replay of a graph, as an entry of a stream; signals[i] is that of node i, null where it is
/// no event's. With Order::eager nodes go in the order in which they become ready, so that branches
/// take turns; with Order::lazy, of those that are ready, the one captured last goes first. Where
/// that one is stuck, the next does. With Order::blocking one node is done after the other, with
/// Order::queues nodes stand in hardware queues, each in one of the orders that the graph allows,
/// another one at each replay and on each rank.
Poll replay(std::shared_ptr<const GraphNodes> nodes, std::vector<std::shared_ptr<Signal>> signals);

}  // namespace hashep::test::standin

/// What a cudaGraph_t points to.
struct CUgraph_st {
  std::shared_ptr<const hashep::test::standin::GraphNodes> nodes;
};

/// What a cudaGraphExec_t points to.
struct CUgraphExec_st {
  std::shared_ptr<const hashep::test::standin::GraphNodes> nodes;
  std::shared_ptr<hashep::test::standin::Signal> last_launch;  // null before the first
};
