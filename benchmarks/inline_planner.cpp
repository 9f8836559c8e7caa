// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/inline_planner.hpp"

#include "comm/agreement.hpp"
#include "hashep/split.hpp"

namespace hashep::bench {

InlinePlanner::InlinePlanner(const StackRouting& routing, const TokenStream& stream,
                             const BatchSplit& split, const Communicator& comm, Watch& watch)
    : routing_(routing),
      stream_(stream),
      split_(split),
      watch_(watch),
      words_(kStatusWords + routing.layer_words()),
      exchange_(comm, words_),
      own_(static_cast<size_t>(words_)) {
  plan_.global_tokens = split.batch_tokens;
  plan_.first_token = split_range(split.batch_tokens, split.ep_size, split.ep_rank).begin;
}

void InlinePlanner::start(int64_t step, PhaseLog& log) {
  log.set_step(step);
  const PhaseLog::Scope scope(log, Phase::route);
  plan_.step = step;
  error_.clear();
  try {
    read_batch(stream_, split_, step, plan_.batch);
  } catch (const InputError& error) {
    error_ = error.what();  // told to all ranks with the first layer's counts
  }
}

void InlinePlanner::plan_layer(int64_t layer, PhaseLog& log) {
  {
    const PhaseLog::Scope scope(log, Phase::route, layer);
    try {
      if (error_.empty())
        route_layer(routing_, layer, plan_, std::span(own_).subspan(kStatusWords));
    } catch (const InputError& error) {
      error_ = error.what();
    }
    own_[0] = error_.empty() ? 0 : 1;
  }
  const PhaseLog::Scope scope(log, Phase::plan, layer);
  exchange_.start(own_, watch_);
  const std::span<const CountWord> words = exchange_.finish(watch_);
  for (int rank = 0; rank < split_.ep_size; ++rank) {
    if (words[static_cast<size_t>(rank * words_)] == 0) continue;
    throw CollectiveInputError(error_, rank == split_.ep_rank);
  }
  complete_layer(routing_, layer, {words.subspan(kStatusWords), words_}, split_.ep_rank, plan_);
}

}  // namespace hashep::bench
