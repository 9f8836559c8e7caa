// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/plan_pipeline.hpp"

#include <algorithm>

#include "comm/agreement.hpp"

namespace hashep {

PlanPipeline::PlanPipeline(const StackRouting& routing, const TokenStream& stream,
                           const BatchSplit& split, Planning planning, const Communicator* comm,
                           Watch* watch)
    : routing_(routing),
      stream_(stream),
      split_(split),
      watch_(watch),
      words_(kStatusWords + routing.count_words()) {
  if (planning == Planning::exchange) {
    own_words_.resize(static_cast<size_t>(words_));
    exchange_.emplace(*comm, words_);
  } else {
    all_words_.resize(static_cast<size_t>(words_ * split.ep_size));
  }
}

void PlanPipeline::route_own(int64_t step, BatchPlan& plan) {
  const auto counts = std::span(own_words_).subspan(kStatusWords);
  std::fill(own_words_.begin(), own_words_.end(), 0);
  try {
    read_batch(stream_, split_, step, plan.batch);
    route_batch(routing_, plan, counts);
  } catch (const InputError& error) {
    error_ = error.what();
    own_words_[0] = 1;
  }
  exchange_->start(own_words_, *watch_);
}

void PlanPipeline::route_all(int64_t step, BatchPlan& plan) {
  std::fill(all_words_.begin(), all_words_.end(), 0);
  for (int rank = 0; rank < split_.ep_size; ++rank) {
    const auto words =
        std::span(all_words_)
            .subspan(static_cast<size_t>(rank * words_), static_cast<size_t>(words_));
    BatchSplit split = split_;
    split.ep_rank = rank;
    BatchPlan& routed = rank == split_.ep_rank ? plan : scratch_;
    try {
      read_batch(stream_, split, step, routed.batch);
      route_batch(routing_, routed, words.subspan(kStatusWords));
    } catch (const InputError& error) {
      if (error_.empty()) error_ = error.what();
      words[0] = 1;
    }
  }
}

void PlanPipeline::start(int64_t step, PhaseLog& log) {
  const PhaseLog::Scope scope(log, Phase::route);
  BatchPlan& plan = plans_[static_cast<size_t>(started_ % 2)];
  ++started_;
  plan.step = step;
  plan.global_tokens = split_.batch_tokens;
  plan.first_token = split_range(split_.batch_tokens, split_.ep_size, split_.ep_rank).begin;
  if (exchange_) {
    route_own(step, plan);
  } else {
    route_all(step, plan);
  }
}

const BatchPlan& PlanPipeline::finish(PhaseLog& log) {
  const PhaseLog::Scope scope(log, Phase::plan);
  BatchPlan& plan = plans_[static_cast<size_t>((started_ - 1) % 2)];
  const std::span<const int64_t> words = exchange_ ? exchange_->finish(*watch_) : all_words_;
  for (int rank = 0; rank < split_.ep_size; ++rank) {
    if (words[static_cast<size_t>(rank * words_)] == 0) continue;
    // Where planning is replicated all ranks hold the same error, and rank 0 prints it.
    const int reporter = exchange_ ? rank : 0;
    throw CollectiveInputError(error_, reporter == split_.ep_rank);
  }
  complete_batch(routing_, {.words = words, .row_stride = words_, .first = kStatusWords},
                 split_.ep_rank, plan);
  return plan;
}

}  // namespace hashep
