// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "hashep/split.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// Where a stream's messages go to or come from.
struct StreamEnd {
  MPI_Comm comm = MPI_COMM_NULL;
  int peer = 0;
  int tag = 0;
};

/// Rows that travel from one rank to another, in order, in messages of at most kMessageBytes (or
/// one row): while one is on the wire, the next is packed and the one before is put in its place.
/// A sent message is complete once its receiver has it (MPI_Issend), so that a rank which computes
/// after its sends keeps no one waiting. Allocates nothing where `reserve` has made room.
class RowStream {
 public:
  static constexpr int64_t kMessageBytes = int64_t{256} << 10;  // some 2 ms at 1 Gbit/s

  /// Makes room for streams of `rows` rows.
  void reserve(int64_t rows, int64_t row_bytes);

  /// Begins a stream of the rows in this memory, which stays in use until it is complete.
  /// `row_type` is that of one row.
  void open(const StreamEnd& end, MPI_Datatype row_type, MatrixView rows);

  /// The rows of the next message to be sent, if any; to be filled in before send_next.
  std::optional<Range> unsent() const;
  void send_next();

  /// Posts all receives.
  void receive_all();
  /// The rows of the next message that has arrived, if one has. Makes MPI progress.
  std::optional<Range> take_arrived();

  /// Whether all messages are complete. Makes MPI progress.
  bool is_complete();
  /// Rows of which is_complete or take_arrived have said so.
  int64_t complete_rows() const { return message(complete_).begin; }
  /// Whether they were at the last look.
  bool was_complete() const { return complete_ == num_messages(); }
  int peer() const { return end_.peer; }
  const MatrixView& rows() const { return rows_; }

 private:
  int64_t num_messages() const { return (rows_.rows + per_message_ - 1) / per_message_; }
  Range message(int64_t index) const;
  bool next_is_complete();

  StreamEnd end_;
  MPI_Datatype row_type_ = MPI_DATATYPE_NULL;
  MatrixView rows_;
  int64_t per_message_ = 1;  // rows
  std::vector<MPI_Request> requests_;
  int64_t begun_ = 0;     // messages sent or posted
  int64_t complete_ = 0;  // messages, in order
};

}  // namespace hashep
