// SPDX-License-Identifier: Apache-2.0
// The order of HierTransport, whose parts are: rows of the own node, rows of others, the rest.
#include <algorithm>
#include <vector>

#include "benchmarks/sim/simulated_exchange.hpp"

namespace hashep::bench {
namespace {

enum Part : int { kNear, kFar, kRest, kParts };
enum Tag : int { kRoutesTag = 1, kRowsTag, kResultsTag };

using Stage = SimulatedRank::Stage;

constexpr int64_t kMessageBytes = int64_t{256} << 10;  // as RowStream's
constexpr int64_t kSliceBytes = int64_t{1} << 20;      // of local work between looks at messages

/// Rows to or from one rank of another node, in messages of at most kMessageBytes or one row.
class Stream {
 public:
  Stream(SimulatedRank& rank, int peer, Tag tag, int64_t rows, int64_t row_bytes)
      : rank_(rank),
        peer_(peer),
        tag_(tag),
        rows_(rows),
        row_bytes_(row_bytes),
        per_message_(std::max<int64_t>(1, kMessageBytes / row_bytes)) {}

  bool has_unsent() const { return std::ssize(requests_) < num_messages(); }
  Range unsent() const { return message(std::ssize(requests_)); }
  void send_next() { requests_.push_back(rank_.send(bytes_of(unsent()), peer_, tag_, true)); }
  void receive_all() {
    receives_ = true;
    while (has_unsent()) {
      requests_.push_back(rank_.receive(bytes_of(unsent()), peer_, tag_));
    }
  }
  /// Looks after messages in order: true where one more is complete.
  bool take_next() {
    if (complete_ == std::ssize(requests_)) return false;
    const int64_t bytes = receives_ ? bytes_of(message(complete_)) : -1;
    if (!rank_.is_complete(requests_[complete_], bytes)) return false;
    ++complete_;
    return true;
  }
  bool is_complete() {
    while (take_next()) {
    }
    return was_complete();
  }
  bool was_complete() const { return complete_ == num_messages(); }
  int64_t complete_rows() const { return message(complete_).begin; }
  Range message(int64_t index) const {
    return {std::min(rows_, index * per_message_), std::min(rows_, (index + 1) * per_message_)};
  }
  int64_t num_complete() const { return complete_; }

 private:
  int64_t num_messages() const { return (rows_ + per_message_ - 1) / per_message_; }
  int64_t bytes_of(Range rows) const { return rows.size() * row_bytes_; }

  SimulatedRank& rank_;
  int peer_;
  Tag tag_;
  int64_t rows_;
  int64_t row_bytes_;
  int64_t per_message_;
  bool receives_ = false;
  std::vector<MPI_Request> requests_;
  int64_t complete_ = 0;
};

class HierExchange final : public SimulatedExchange {
 public:
  HierExchange(SimulatedRank& rank, const ExchangePlan& plan, int64_t row_bytes)
      : rank_(rank), plan_(plan), across_(plan.across), row_bytes_(row_bytes) {
    int64_t most = std::max(kMessageBytes, row_bytes);
    for (const auto& out : across_.outgoing) most = std::max(most, route_bytes(out.num_routes()));
    for (const auto& in : across_.incoming) most = std::max(most, route_bytes(in.num_routes));
    SimulatedRank::reserve(most);
  }

  int num_parts() const override { return across_.outgoing.empty() ? 1 : kParts; }

  void dispatch(int part) override {
    if (part == kNear) land_near_rows();
    if (part == kFar) work_until([this] { return land_far_rows(); });
  }

  void give_back(int part) override {
    if (part == kFar || num_parts() == 1) {
      rank_.reach(Stage::kFarComputed);
      move_results();
    }
    if (part + 1 == num_parts()) rank_.reach(Stage::kComputed);
  }

  void combine() override {
    SimulatedRank::wait_until([this] {
      move_results();
      return rank_.have_all_reached(Stage::kComputed);
    });
    move_results();
    pass_node_rows();
    int64_t combined = 0;
    const int64_t slice = std::max<int64_t>(1, kSliceBytes / row_bytes_);
    work_until([&] {
      const bool sent = send_results();
      const int64_t ready = take_results();
      if (ready - combined >= slice || ready == plan_.tokens) {
        const int64_t count = std::min(slice, ready - combined);
        rank_.pass_copy(across_.total_returns() * count / std::max<int64_t>(1, plan_.tokens) *
                        row_bytes_);
        combined += count;
      }
      return sent && combined == plan_.tokens;
    });
    to_node_.clear();
    from_node_.clear();
  }

 private:
  static int64_t route_bytes(int64_t routes) {
    return routes * static_cast<int64_t>(sizeof(NodePlan::Route));
  }

  /// Polls again from the shortest pause on after each message that is complete.
  template <typename Step>
  void work_until(const Step& step) {
    bool all_done = false;
    while (!all_done) {
      SimulatedRank::wait_until([&] {
        all_done = step();
        const int64_t before = progress_;
        progress_ = 0;
        for (const Stream& stream : to_node_) progress_ += stream.complete_rows();
        for (const Stream& stream : from_node_) progress_ += stream.complete_rows();
        return all_done || progress_ != before;
      });
    }
  }

  /// Writes this rank's rows for the experts of its own node to their places, or reads their
  /// results there: its own by a copy, the others' through the link between the node's ranks.
  void pass_node_rows() const {
    int64_t others = 0;
    for (const int32_t peer : rank_.nodes().ranks_of(rank_.nodes().node_of(rank_.rank()))) {
      if (peer != rank_.rank()) others += plan_.send_counts[peer];
    }
    rank_.pass_node_latency();
    rank_.pass_copy(plan_.send_counts[rank_.rank()] * row_bytes_);
    rank_.pass_node(others * row_bytes_);
  }

  void land_near_rows() {
    to_node_.clear();
    from_node_.clear();
    extras_out_.clear();
    extras_in_.clear();
    are_results_begun_ = false;
    for (const auto& in : across_.incoming) {
      const int64_t bytes = route_bytes(in.num_routes);
      extras_in_.push_back(bytes == 0 ? MPI_REQUEST_NULL
                                      : rank_.receive(bytes, in.source, kRoutesTag));
      from_node_.emplace_back(rank_, in.source, kRowsTag, in.num_rows, row_bytes_).receive_all();
    }
    for (const auto& out : across_.outgoing) {
      const int64_t bytes = route_bytes(out.num_routes());
      extras_out_.push_back(bytes == 0 ? MPI_REQUEST_NULL
                                       : rank_.send(bytes, out.peer, kRoutesTag, true));
      to_node_.emplace_back(rank_, out.peer, kRowsTag, out.num_rows(), row_bytes_);
    }
    for (bool found = true; found;) {
      found = false;
      for (Stream& stream : to_node_) {
        if (!stream.has_unsent()) continue;
        rank_.pass_copy(stream.unsent().size() * row_bytes_);
        stream.send_next();
        found = true;
      }
    }
    pass_node_rows();
    land_rows();
    rank_.reach(Stage::kNearLanded);
    is_landed_ = false;
    SimulatedRank::wait_until([this] {
      land_far_rows();
      return rank_.have_all_reached(Stage::kNearLanded);
    });
    if (num_parts() == 1) work_until([this] { return land_far_rows(); });
  }

  /// True once all rows are there, on all ranks of the node.
  bool land_far_rows() {
    bool sent = true;
    for (size_t i = 0; i < to_node_.size(); ++i) {
      sent = to_node_[i].is_complete() && rank_.is_complete(extras_out_[i]) && sent;
    }
    if (!land_rows() || !sent) return false;
    if (!is_landed_) rank_.reach(Stage::kLanded);
    is_landed_ = true;
    return rank_.have_all_reached(Stage::kLanded);
  }

  /// Takes what has arrived to its places on the node.
  bool land_rows() {
    bool all = true;
    for (size_t i = 0; i < from_node_.size(); ++i) {
      Stream& stream = from_node_[i];
      if (stream.was_complete()) continue;
      const NodePlan::Incoming& in = across_.incoming[i];
      if (!rank_.is_complete(extras_in_[i], route_bytes(in.num_routes))) {
        all = false;
        continue;
      }
      while (stream.take_next()) {
        const Range rows = stream.message(stream.num_complete() - 1);
        // Of a message's routes only their number is known here, and that on average.
        rank_.pass_spread(
            (in.num_routes * rows.end / in.num_rows - in.num_routes * rows.begin / in.num_rows) *
            row_bytes_);
      }
      all = all && stream.was_complete();
    }
    return all;
  }

  /// Moves messages on, once all ranks of the node have outputs for other nodes.
  void move_results() {
    if (!are_results_begun_) {
      if (!rank_.have_all_reached(Stage::kFarComputed)) return;
      are_results_begun_ = true;
      to_node_.clear();
      from_node_.clear();
      for (const auto& out : across_.outgoing) {
        to_node_.emplace_back(rank_, out.peer, kResultsTag, out.num_returns, row_bytes_)
            .receive_all();
      }
      for (const auto& in : across_.incoming) {
        from_node_.emplace_back(rank_, in.source, kResultsTag, in.num_returns, row_bytes_);
      }
    }
    send_results();
    take_results();
  }

  /// Sends the next message of results to each source. True once all have been received.
  bool send_results() {
    bool all = true;
    for (Stream& stream : from_node_) {
      if (stream.has_unsent()) {
        rank_.pass_spread(stream.unsent().size() * row_bytes_);
        stream.send_next();
      }
      all = stream.is_complete() && all;
    }
    return all;
  }

  /// Returns n: all results of tokens [0, n) are there.
  int64_t take_results() {
    int64_t ready = plan_.tokens;
    for (size_t i = 0; i < to_node_.size(); ++i) {
      if (to_node_[i].is_complete()) continue;
      const NodePlan::Outgoing& out = across_.outgoing[i];
      const int64_t rows = to_node_[i].complete_rows();
      const auto done =
          std::count_if(out.routes.begin(), out.routes.begin() + rows,
                        [](NodePlan::Route route) { return (route & NodePlan::kLastRoute) != 0; });
      ready = std::min<int64_t>(ready, out.tokens[done]);
    }
    return ready;
  }

  SimulatedRank& rank_;
  const ExchangePlan& plan_;
  const NodePlan& across_;
  int64_t row_bytes_;

  // Of the exchange that is under way.
  std::vector<Stream> to_node_;    // rows as sources send them; later, the results that come back
  std::vector<Stream> from_node_;  // rows that this rank takes in; later, the results it sends back
  std::vector<MPI_Request> extras_out_;  // routes
  std::vector<MPI_Request> extras_in_;
  bool is_landed_ = false;
  bool are_results_begun_ = false;
  int64_t progress_ = 0;
};

}  // namespace

std::unique_ptr<SimulatedExchange> make_hier_exchange(SimulatedRank& rank, const ExchangePlan& plan,
                                                      int64_t row_bytes) {
  return std::make_unique<HierExchange>(rank, plan, row_bytes);
}

}  // namespace hashep::bench
