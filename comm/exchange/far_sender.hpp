// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange/row_stream.hpp"
#include "hashep/buffer.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {

/// The source's side of what crosses between nodes: sends each row once to each node that has
/// experts of it, with its routes there, and takes the results back. Messages go to one rank of the
/// other node (NodePlan::Outgoing::peer), whose FarReceiver is the other side. Never waits; the
/// caller polls.
class FarSender {
 public:
  /// `comm` must outlive this.
  explicit FarSender(const Communicator& comm) : comm_(comm) {}

  /// Makes room for these plans. Ahead of the step. Local.
  void reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size);

  /// Begins to send x's rows: their routes at once, the rows by send_next. The plan must stay until
  /// is_settled.
  void begin_rows(const ExchangePlan& plan, MPI_Datatype row_type);
  /// Packs and sends one message to each node that one is left for. False: none was left.
  bool send_next(const ExchangePlan& plan, ConstMatrixView x);
  /// Whether all messages, either way, are complete. Makes MPI progress.
  bool is_settled();

  /// Begins to take results; where they return summed, sends the weights that are to be used there.
  /// weights: as in Transport::combine.
  void begin_results(const ExchangePlan& plan, std::span<const float> weights,
                     MPI_Datatype row_type);
  /// Looks after results and weights. Returns n: all results of tokens [0, n) are there. Makes MPI
  /// progress.
  int64_t take_results(const ExchangePlan& plan);
  /// The returned rows, [plan.across.total_returns(), hidden_size].
  std::byte* results() { return buffer_.data(); }

  /// Rows of messages that are complete, as far as looked at.
  int64_t complete_rows() const;
  /// The first rank with which messages are not complete, for errors.
  std::string missing() const;

  int64_t buffer_bytes() const { return buffer_.capacity(); }

 private:
  /// What goes to and comes from one node.
  struct Node {
    RowStream stream;
    MPI_Request extra = MPI_REQUEST_NULL;  // routes, or weights
    std::vector<float> weights;            // [routes]
    int64_t tokens_done = 0;               // of NodePlan::Outgoing::tokens, with all results
    int64_t routes_done = 0;
  };

  void send_weights(const ExchangePlan& plan, std::span<const float> weights);

  const Communicator& comm_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  std::vector<Node> nodes_;  // as NodePlan::outgoing
  Buffer buffer_;            // rows on their way out, later the results
};

}  // namespace hashep
