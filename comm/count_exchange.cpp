// SPDX-License-Identifier: Apache-2.0
#include "comm/count_exchange.hpp"

#include <algorithm>
#include <exception>

#include "comm/met_by_all.hpp"
#include "core/narrow.hpp"

namespace hashep {

CountExchange::CountExchange(const Communicator& comm, int64_t words)
    : comm_(comm.get()),
      words_(words),
      gathered_words_(words * comm.size()),
      mine_(std::make_unique<CountWord[]>(static_cast<size_t>(words))),
      gathered_(std::make_unique<CountWord[]>(static_cast<size_t>(gathered_words_))) {}

CountExchange::~CountExchange() {
  if (watch_ == nullptr) return;
  watch_->forget(request_);
  if (request_ != MPI_REQUEST_NULL && !unwinds_alone() && mpi_is_up()) {
    try {
      watch_->wait(request_);
    } catch (const std::exception&) {
      // A rank is missing, which whoever waits for it next will say.
    }
  }
  if (request_ == MPI_REQUEST_NULL) return;
  // A collective cannot be cancelled, and MPI goes on reading and writing where it was told to.
  mine_.release();
  gathered_.release();
  comm_.abandon();
}

void CountExchange::start(std::span<const CountWord> mine, Watch& watch) {
  if (static_cast<int64_t>(mine.size()) != words_) {
    throw RunError("planning exchange: expected " + std::to_string(words_) + " words, got " +
                   std::to_string(mine.size()));
  }
  const int count = narrow<int>(words_, "words of the planning exchange");
  std::copy(mine.begin(), mine.end(), mine_.get());
  check_mpi(MPI_Iallgather(mine_.get(), count, MPI_UINT32_T, gathered_.get(), count, MPI_UINT32_T,
                           comm_.get(), &request_),
            "MPI_Iallgather");
  watch.count_collective();
  watch.look_after(request_);
  watch_ = &watch;
}

std::span<const CountWord> CountExchange::finish(Watch& watch) {
  watch.wait(request_);
  watch.forget(request_);
  return {gathered_.get(), static_cast<size_t>(gathered_words_)};
}

}  // namespace hashep
