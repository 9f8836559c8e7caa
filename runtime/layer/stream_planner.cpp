// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/stream_planner.hpp"

#include <algorithm>

#include "hashep/error.hpp"

namespace hashep {
namespace {

Planner make_planner(const StackGeometry& geometry, const Router& router,
                     const PlanningOptions& options, int ep_rank,
                     const std::optional<JobRanks>& ranks) {
  if (options.planning == Planning::replicated) return {geometry, router, ep_rank};
  return {geometry, router, *ranks, options.exchanges()};
}

}  // namespace

StreamPlanner::StreamPlanner(const StackGeometry& geometry, const Router& router,
                             const TokenStream& stream, const BatchSplit& split,
                             const PlanningOptions& options, const std::optional<JobRanks>& ranks,
                             PhaseLog& log)
    : stream_(stream),
      split_(split),
      planning_(options.planning),
      log_(log),
      planner_(make_planner(geometry, router, options, split.ep_rank, ranks)),
      batches_(planning_ == Planning::exchange ? 1 : static_cast<size_t>(split.ep_size)),
      views_(batches_.size()),
      tickets_(static_cast<size_t>(options.depth) + 1) {}

void StreamPlanner::begin() {
  const PhaseLog::Scope scope(log_, Phase::route);
  if (begun_ - taken_ == std::ssize(tickets_)) {
    throw RunError("stream planner: more batches begun than its depth of " +
                   std::to_string(tickets_.size() - 1) + " allows");
  }
  planner_.release(ticket_of(begun_));
  ticket_of(begun_) = submit(begun_);
  ++begun_;
}

void StreamPlanner::begin_ahead(int64_t step, int64_t num_steps) {
  const int64_t end = std::min(num_steps, step + std::ssize(tickets_));
  while (begun_ < end) begin();
}

BatchPlan& StreamPlanner::take() {
  const PhaseLog::Scope scope(log_, Phase::plan);
  if (taken_ == begun_) throw RunError("stream planner: no batch has been begun");
  return planner_.wait(ticket_of(taken_++));
}

const BatchPlan& StreamPlanner::look_at(int64_t step) {
  const PhaseLog::Scope scope(log_, Phase::plan);
  if (step < taken_ || step >= begun_) {
    throw RunError("stream planner: batch " + std::to_string(step) + " is not on its way");
  }
  return planner_.wait(ticket_of(step));
}

Ticket StreamPlanner::submit(int64_t step) {
  if (planning_ == Planning::exchange) {
    try {
      read_batch(stream_, split_, step, batches_.front());
    } catch (const InputError& error) {
      return planner_.submit_error(error.marked());
    }
    return planner_.submit(batches_.front().view());
  }
  for (int rank = 0; rank < split_.ep_size; ++rank) {
    BatchSplit split = split_;
    split.ep_rank = rank;
    read_batch(stream_, split, step, batches_[rank]);
    views_[rank] = batches_[rank].view();
  }
  return planner_.submit_all(views_);
}

}  // namespace hashep
