// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/layer_planner.hpp"

#include "runtime/layer/planning_fault.hpp"
#include "runtime/layer/planning_options.hpp"

namespace hashep {
namespace {

constexpr int64_t kTokenWords = 1;

}  // namespace

LayerPlanner::LayerPlanner(const StackGeometry& geometry, const JobRanks& ranks)
    : geometry_(geometry),
      ep_rank_(ranks.comm.rank()),
      row_words_(kStatusWords + kTokenWords + geometry.layer_words()),
      exchange_(ranks, row_words_),
      words_(row_words_) {}

void LayerPlanner::plan_layer(int64_t layer, AssignmentSource& source, BatchPlan& plan,
                              PhaseLog& log) {
  std::string text;
  {
    const PhaseLog::Scope scope(log, Phase::route, layer);
    fill_words(words_, text, [&](std::span<CountWord> words) {
      source.assign(geometry_.layer(layer), assignments(geometry_, layer, plan.tokens, plan));
      words.front() = count_word(plan.tokens, "tokens of a rank");
      count_layer(geometry_, layer, plan, words.subspan(kTokenWords));
    });
  }
  const PhaseLog::Scope scope(log, Phase::plan, layer);
  exchange_.start(words_);
  const CountExchange::Gathered gathered = exchange_.finish();
  const std::span<const CountWord> words = gathered.words();
  const FoundFault found = find_fault(words, row_words_, geometry_.ep_size());
  if (found.fault != PlanningFault::none) throw_fault(found, text, ep_rank_ == found.rank);
  place_batch({.words = words, .row_stride = row_words_, .first = kStatusWords},
              geometry_.ep_size(), ep_rank_, plan);
  complete_layer(geometry_, layer, {words.subspan(kStatusWords + kTokenWords), row_words_},
                 ep_rank_, plan);
}

}  // namespace hashep
