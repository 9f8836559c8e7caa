// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/capture.hpp"

#include <algorithm>
#include <utility>

#include "core/random.hpp"
#include "tests/standin/state.hpp"

namespace hashep::test::standin {
namespace {

void end(Capture& capture) {
  for (CUstream_st* stream : capture.streams) {
    stream->last_nodes.clear();
    stream->capture.reset();  // drops none that is in use: the caller holds it
  }
  capture.over = true;
}

cudaError_t broken(Capture& capture, cudaError_t code) {
  capture.broken = true;
  return code;
}

/// Whether all that each stream was asked for comes before what ends the origin.
bool is_joined(const Capture& capture) {
  std::set<size_t> before_end = capture.origin->last_nodes;
  for (const size_t node : capture.origin->last_nodes) {
    before_end.insert(capture.nodes[node].all_before.begin(), capture.nodes[node].all_before.end());
  }
  return std::all_of(capture.streams.begin(), capture.streams.end(), [&](CUstream_st* stream) {
    return std::includes(before_end.begin(), before_end.end(), stream->last_nodes.begin(),
                         stream->last_nodes.end());
  });
}

/// A number below `end`, by chance: another one at each call and on each rank.
class Chance {
 public:
  explicit Chance(int64_t replay)
      : key_(random_bits(static_cast<uint64_t>(rank_from_environment()),
                         static_cast<uint64_t>(replay))) {}
  size_t below(size_t end) { return random_bits(key_, drawn_++) % end; }

 private:
  uint64_t key_;
  uint64_t drawn_ = 0;
};

/// How many nodes each node comes right after.
std::vector<size_t> count_missing(const GraphNodes& nodes) {
  std::vector<size_t> missing;
  for (const GraphNode& node : nodes) missing.push_back(node.after.size());
  return missing;
}

/// Node `done` is done: adds to `ready` those that it was the last one missing for.
void add_ready(const GraphNodes& nodes, size_t done, std::vector<size_t>& missing,
               std::vector<size_t>& ready) {
  for (size_t i = done + 1; i < nodes.size(); ++i) {
    if (nodes[i].after.contains(done) && --missing[i] == 0) ready.push_back(i);
  }
}

std::vector<size_t> first_ready(const std::vector<size_t>& missing) {
  std::vector<size_t> ready;
  for (size_t i = 0; i < missing.size(); ++i) {
    if (missing[i] == 0) ready.push_back(i);
  }
  return ready;
}

/// One of the orders that a graph allows.
std::vector<size_t> any_order(const GraphNodes& nodes, Chance& chance) {
  std::vector<size_t> missing = count_missing(nodes);
  std::vector<size_t> ready = first_ready(missing);
  std::vector<size_t> order;
  while (!ready.empty()) {
    const auto next = ready.begin() + static_cast<std::ptrdiff_t>(chance.below(ready.size()));
    order.push_back(*next);
    ready.erase(next);
    add_ready(nodes, order.back(), missing, ready);
  }
  return order;
}

/// A replay on its way.
class Replay {
 public:
  Replay(std::shared_ptr<const GraphNodes> nodes, std::vector<std::shared_ptr<Signal>> signals)
      : nodes_(std::move(nodes)),
        signals_(std::move(signals)),
        begun_(nodes_->size()),
        turns_(nodes_->size()),
        missing_(count_missing(*nodes_)),
        ready_(first_ready(missing_)) {
    const Order order = state().order;
    if (order != Order::blocking && order != Order::queues) return;
    Chance chance(state().replays++);
    for (const size_t i : any_order(*nodes_, chance)) {
      const bool is_copy = (*nodes_)[i].engine == Engine::copy;
      const size_t queue = chance.below(state().queues.size());
      turns_[i] = Turn(order == Order::blocking ? own_queue_
                       : is_copy                ? state().copies
                                                : state().queues[queue]);
    }
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  /// Does nodes until none is left, or all that are ready are stuck. True where none is left.
  bool advance() {
    while (do_one()) {
    }
    return ready_.empty();
  }

 private:
  bool do_one() {
    std::vector<size_t> turns = ready_;
    if (state().order != Order::eager) std::sort(turns.rbegin(), turns.rend());
    const auto done =
        std::find_if(turns.begin(), turns.end(), [this](size_t i) { return do_node(i); });
    if (done == turns.end()) return false;
    const size_t node = *done;
    turns_[node].pass();
    ++state().moves;
    std::erase(ready_, node);
    add_ready(*nodes_, node, missing_, ready_);
    return true;
  }

  /// Whether it is done now.
  bool do_node(size_t i) {
    if (!turns_[i].has_come()) return false;
    if (signals_[i] != nullptr) {
      do_record(*signals_[i]);
      return true;
    }
    return is_done((*nodes_)[i].work, begun_[i]);
  }

  std::shared_ptr<const GraphNodes> nodes_;
  std::vector<std::shared_ptr<Signal>> signals_;
  std::vector<Poll> begun_;  // one run of each node's work, null before it begins
  SharedQueue own_queue_;    // of Order::blocking
  std::vector<Turn> turns_;
  std::vector<size_t> missing_;  // how many nodes each still comes after
  std::vector<size_t> ready_;    // in the order in which they became so
};

}  // namespace

cudaError_t begin_capture(CUstream_st& stream) {
  if (stream.capture != nullptr) return cudaErrorIllegalState;
  stream.capture = std::make_shared<Capture>();
  stream.capture->origin = &stream;
  stream.capture->streams = {&stream};
  return cudaSuccess;
}

cudaError_t capture_node(CUstream_st& stream, GraphNode node) {
  Capture& capture = *stream.capture;
  if (capture.broken) return cudaErrorStreamCaptureInvalidated;
  node.after = stream.last_nodes;
  node.all_before = node.after;
  for (const size_t before : node.after) {
    node.all_before.insert(capture.nodes[before].all_before.begin(),
                           capture.nodes[before].all_before.end());
  }
  for (size_t i = 0; i < capture.nodes.size() && node.workspace != nullptr; ++i) {
    const bool shared = capture.nodes[i].workspace == node.workspace;
    if (shared && !node.all_before.contains(i)) return cudaErrorInvalidValue;
  }
  stream.last_nodes = {capture.nodes.size()};
  capture.nodes.push_back(std::move(node));
  return cudaSuccess;
}

cudaError_t capture_record(CUstream_st& stream, CUevent_st& event) {
  if (stream.capture->broken) return cudaErrorStreamCaptureInvalidated;
  event.capture = stream.capture;
  event.nodes = stream.last_nodes;
  return cudaSuccess;
}

cudaError_t capture_wait(CUstream_st& stream, CUevent_st& event) {
  if (stream.capture != nullptr && stream.capture->broken) {
    return cudaErrorStreamCaptureInvalidated;
  }
  if (event.capture == nullptr) return broken(*stream.capture, cudaErrorStreamCaptureIsolation);
  if (event.capture->over) {
    if (stream.capture != nullptr) stream.capture->broken = true;
    return cudaErrorCapturedEvent;
  }
  if (event.capture->broken) return cudaErrorStreamCaptureInvalidated;
  if (stream.capture == nullptr) {
    stream.capture = event.capture;
    stream.capture->streams.push_back(&stream);
  } else if (stream.capture != event.capture) {
    event.capture->broken = true;
    return broken(*stream.capture, cudaErrorStreamCaptureMerge);
  }
  stream.last_nodes.insert(event.nodes.begin(), event.nodes.end());
  return cudaSuccess;
}

cudaError_t end_capture(CUstream_st& stream, GraphNodes& nodes) {
  const std::shared_ptr<Capture> capture = stream.capture;
  if (capture == nullptr) return cudaErrorIllegalState;
  if (capture->origin != &stream) return broken(*capture, cudaErrorStreamCaptureUnmatched);
  const bool joined = is_joined(*capture);
  end(*capture);
  if (capture->broken) return cudaErrorStreamCaptureInvalidated;
  if (!joined) return cudaErrorStreamCaptureUnjoined;
  nodes = std::move(capture->nodes);
  return cudaSuccess;
}

void leave_capture(CUstream_st& stream) {
  const std::shared_ptr<Capture> capture = stream.capture;
  if (capture == nullptr) return;
  capture->broken = true;
  if (capture->origin == &stream) {
    end(*capture);
  } else {
    std::erase(capture->streams, &stream);
    stream.last_nodes.clear();
    stream.capture.reset();
  }
}

cudaError_t refuse_in_capture() {
  bool captured = false;
  for (const auto& stream : state().streams.all()) {
    if (stream->capture == nullptr) continue;
    stream->capture->broken = true;
    captured = true;
  }
  return captured ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

Poll replay(std::shared_ptr<const GraphNodes> nodes, std::vector<std::shared_ptr<Signal>> signals) {
  return [run = std::make_shared<Replay>(std::move(nodes), std::move(signals))] {
    return run->advance();
  };
}

}  // namespace hashep::test::standin
