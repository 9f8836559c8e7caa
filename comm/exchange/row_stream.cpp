// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/row_stream.hpp"

#include <algorithm>

#include "comm/communicator.hpp"
#include "core/narrow.hpp"

namespace hashep {
namespace {

int64_t rows_per_message(int64_t row_bytes) {
  return std::max<int64_t>(1, RowStream::kMessageBytes / std::max<int64_t>(1, row_bytes));
}

}  // namespace

void RowStream::reserve(int64_t rows, int64_t row_bytes) {
  requests_.reserve(rows / rows_per_message(row_bytes) + 1);
}

void RowStream::open(const StreamEnd& end, MPI_Datatype row_type, MatrixView rows) {
  end_ = end;
  row_type_ = row_type;
  rows_ = rows;
  per_message_ = rows_per_message(rows.row_bytes());
  requests_.assign(num_messages(), MPI_REQUEST_NULL);
  begun_ = 0;
  complete_ = 0;
}

Range RowStream::message(int64_t index) const {
  return {std::min(index * per_message_, rows_.rows),
          std::min((index + 1) * per_message_, rows_.rows)};
}

std::optional<Range> RowStream::unsent() const {
  if (begun_ == num_messages()) return std::nullopt;
  return message(begun_);
}

void RowStream::send_next() {
  const Range rows = message(begun_);
  check_mpi(MPI_Issend(rows_.row(rows.begin), narrow<int>(rows.size(), "rows of a message"),
                       row_type_, end_.peer, end_.tag, end_.comm, &requests_[begun_]),
            "MPI_Issend");
  ++begun_;
}

void RowStream::receive_all() {
  for (; begun_ < num_messages(); ++begun_) {
    const Range rows = message(begun_);
    check_mpi(MPI_Irecv(rows_.row(rows.begin), narrow<int>(rows.size(), "rows of a message"),
                        row_type_, end_.peer, end_.tag, end_.comm, &requests_[begun_]),
              "MPI_Irecv");
  }
}

bool RowStream::next_is_complete() {
  if (complete_ == begun_) return false;
  int done = 0;
  check_mpi(MPI_Test(&requests_[complete_], &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

std::optional<Range> RowStream::take_arrived() {
  if (!next_is_complete()) return std::nullopt;
  return message(complete_++);
}

bool RowStream::is_complete() {
  while (next_is_complete()) ++complete_;
  return was_complete();
}

}  // namespace hashep
