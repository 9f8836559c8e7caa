// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {

/// The planning exchange: each rank contributes its counts for all layers of a batch, O(layers x
/// experts) integers, in one non-blocking all-gather, and gets those of all ranks. One gather
/// rather than a pair of all-to-alls (counts to owners, places back): it needs one latency of
/// log(ep_size), a single call to overlap with a step, and lets every rank know where its rows
/// land. 384 ranks with 3 layers of 384 experts gather 1.8 MB.
class CountExchange {
 public:
  /// Collective (duplicates `comm`). `words`: integers each rank contributes.
  CountExchange(const Communicator& comm, int64_t words);
  /// May be pending: it is completed where all ranks come here, which is where no error unwinds
  /// them, or one that all have met; else buffers and communicator are left to MPI.
  ~CountExchange();
  CountExchange(const CountExchange&) = delete;  // MPI and the watch know where it is
  CountExchange& operator=(const CountExchange&) = delete;

  /// Begins the exchange, which then goes on in all waits of `watch`, whatever they are for.
  /// `mine`: [words], copied; `watch` must outlive this. Collective.
  void start(std::span<const CountWord> mine, Watch& watch);

  /// Completes it. Returns [ep_size, words], valid until the next start. Collective.
  std::span<const CountWord> finish(Watch& watch);

 private:
  Communicator comm_;
  int64_t words_;
  int64_t gathered_words_;
  std::unique_ptr<CountWord[]> mine_;      // [words]
  std::unique_ptr<CountWord[]> gathered_;  // [ep_size, words]
  MPI_Request request_ = MPI_REQUEST_NULL;
  Watch* watch_ = nullptr;  // that looks after the request
};

}  // namespace hashep
