// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange/node_rows.hpp"
#include "comm/exchange/row_stream.hpp"
#include "hashep/buffer.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {

/// The other side of FarSender: takes in rows of other nodes' ranks for the whole node, puts each
/// into all its final places in the node's expert-major buffers, and sends the results back from
/// there. Never waits; the caller polls.
class FarReceiver {
 public:
  /// `comm` and `rows` must outlive this.
  FarReceiver(const Communicator& comm, const NodeRows& rows) : comm_(comm), node_rows_(rows) {}

  /// Makes room for these plans. Ahead of the step. Local.
  void reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size);

  /// Begins to take rows in.
  void begin_rows(const ExchangePlan& plan, MPI_Datatype row_type);
  /// Puts rows that have arrived into their places, `stream`ed or not. True once all are there.
  /// Makes MPI progress. The buffers must be free to be written.
  bool land_rows(const ExchangePlan& plan, bool stream);

  /// Begins to send results back; the node's experts have computed.
  void begin_results(const ExchangePlan& plan, MPI_Datatype row_type);
  /// Sends the next message of results to each source that can be served. True once all have been
  /// received. Makes MPI progress.
  bool send_results(const ExchangePlan& plan);

  /// Rows of messages that are complete, as far as looked at.
  int64_t complete_rows() const;
  /// The first rank with which messages are not complete, for errors.
  std::string missing() const;

  int64_t buffer_bytes() const { return buffer_.capacity(); }

 private:
  /// What comes from and goes back to one source.
  struct Source {
    RowStream stream;
    MPI_Request extra = MPI_REQUEST_NULL;  // routes, or weights
    std::vector<NodePlan::Route> routes;   // [routes]
    std::vector<float> weights;            // [routes]
    std::vector<int64_t> next_rows;        // next expert-major row of each of the node's experts
    size_t next_route = 0;
  };

  void open_streams(const ExchangePlan& plan, int tag, MPI_Datatype row_type);
  /// The place of the next route, which is used up, in the node's buffers.
  std::byte* next_place(const ExchangePlan& plan, Source& source);
  void pack_results(const ExchangePlan& plan, Source& source, MatrixView rows);
  void pack_sums(const ExchangePlan& plan, Source& source, MatrixView rows);

  const Communicator& comm_;
  const NodeRows& node_rows_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  std::vector<Source> sources_;                // as NodePlan::incoming
  Buffer buffer_;                              // rows that arrive, later results on their way back
  std::vector<const std::byte*> summed_rows_;  // of one token. [<= top_k]
};

}  // namespace hashep
