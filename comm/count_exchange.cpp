// SPDX-License-Identifier: Apache-2.0
#include "comm/count_exchange.hpp"

#include "core/narrow.hpp"

namespace hashep {

CountExchange::CountExchange(const Communicator& comm, int64_t words)
    : comm_(comm.get()),
      words_(words),
      gathered_(static_cast<size_t>(words) * static_cast<size_t>(comm.size())) {}

CountExchange::~CountExchange() {
  if (watch_ != nullptr) watch_->forget(request_);
}

void CountExchange::start(std::span<const int64_t> mine, Watch& watch) {
  if (static_cast<int64_t>(mine.size()) != words_) {
    throw RunError("planning exchange: expected " + std::to_string(words_) + " words, got " +
                   std::to_string(mine.size()));
  }
  const int count = narrow<int>(words_, "words of the planning exchange");
  check_mpi(MPI_Iallgather(mine.data(), count, MPI_INT64_T, gathered_.data(), count, MPI_INT64_T,
                           comm_.get(), &request_),
            "MPI_Iallgather");
  watch.count_collective();
  watch.look_after(request_);
  watch_ = &watch;
}

std::span<const int64_t> CountExchange::finish(Watch& watch) {
  watch.wait(request_);
  watch.forget(request_);
  return gathered_;
}

}  // namespace hashep
