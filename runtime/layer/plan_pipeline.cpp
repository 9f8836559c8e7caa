// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/plan_pipeline.hpp"

#include <algorithm>

#include "comm/agreement.hpp"

namespace hashep {
PlanPipeline::PlanPipeline(const StackRouting& routing, const TokenStream& stream,
                           const BatchSplit& split, const PlanningOptions& options,
                           const Communicator* comm, Watch* watch)
    : routing_(routing),
      stream_(stream),
      split_(split),
      watch_(watch),
      depth_(options.depth),
      words_(kStatusWords + routing.count_words()),
      slots_(static_cast<size_t>(options.depth) + 1) {
  for (Slot& slot : slots_) {
    const bool exchanges = options.planning == Planning::exchange;
    slot.words.resize(static_cast<size_t>(exchanges ? words_ : words_ * split.ep_size));
    if (exchanges) slot.exchange.emplace(*comm, words_);
  }
}

void PlanPipeline::route_own(int64_t step, Slot& slot) {
  const auto counts = std::span(slot.words).subspan(kStatusWords);
  std::fill(slot.words.begin(), slot.words.end(), 0);
  try {
    read_batch(stream_, split_, step, slot.plan.batch);
    route_batch(routing_, slot.plan, counts);
  } catch (const InputError& error) {
    slot.error = error.what();
    slot.words[0] = 1;
  }
  slot.exchange->start(slot.words, *watch_);
  ++exchanges_;
}

void PlanPipeline::route_all(int64_t step, Slot& slot) {
  std::fill(slot.words.begin(), slot.words.end(), 0);
  for (int rank = 0; rank < split_.ep_size; ++rank) {
    const auto words =
        std::span(slot.words)
            .subspan(static_cast<size_t>(rank * words_), static_cast<size_t>(words_));
    BatchSplit split = split_;
    split.ep_rank = rank;
    BatchPlan& routed = rank == split_.ep_rank ? slot.plan : scratch_;
    read_batch(stream_, split, step, routed.batch);
    try {
      route_batch(routing_, routed, words.subspan(kStatusWords));
    } catch (const InputError& error) {
      if (slot.error.empty()) slot.error = error.what();
      words[0] = 1;
    }
  }
}

void PlanPipeline::start(int64_t step, PhaseLog& log) {
  const PhaseLog::Scope scope(log, Phase::route);
  if (started_ - finished_ > depth_) {
    throw RunError("plan pipeline: more batches begun than its depth of " + std::to_string(depth_) +
                   " allows");
  }
  Slot& slot = slots_[static_cast<size_t>(started_ % slots())];
  ++started_;
  next_step_ = step + 1;
  slot.error.clear();
  slot.plan.step = step;
  slot.plan.global_tokens = split_.batch_tokens;
  slot.plan.first_token = split_range(split_.batch_tokens, split_.ep_size, split_.ep_rank).begin;
  if (slot.exchange) {
    route_own(step, slot);
  } else {
    route_all(step, slot);
  }
}

void PlanPipeline::start_ahead(int64_t step, int64_t num_steps, PhaseLog& log) {
  const int64_t end = std::min(num_steps, step + 1 + depth_);
  while (next_step_ < end) start(next_step_, log);
}

const BatchPlan& PlanPipeline::finish(PhaseLog& log) {
  const PhaseLog::Scope scope(log, Phase::plan);
  if (finished_ == started_) throw RunError("plan pipeline: no batch has been begun");
  Slot& slot = slots_[static_cast<size_t>(finished_ % slots())];
  ++finished_;
  const std::span<const CountWord> words =
      slot.exchange ? slot.exchange->finish(*watch_) : std::span<const CountWord>(slot.words);
  for (int rank = 0; rank < split_.ep_size; ++rank) {
    if (words[static_cast<size_t>(rank * words_)] == 0) continue;
    // Where planning is replicated all ranks hold the same error, and rank 0 prints it.
    const int reporter = slot.exchange ? rank : 0;
    throw CollectiveInputError(slot.error, reporter == split_.ep_rank);
  }
  complete_batch(routing_, {.words = words, .row_stride = words_, .first = kStatusWords},
                 split_.ep_rank, slot.plan);
  return slot.plan;
}

}  // namespace hashep
