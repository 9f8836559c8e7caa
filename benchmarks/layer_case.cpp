// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_case.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "benchmarks/layer_dump.hpp"
#include "benchmarks/layer_parts.hpp"
#include "benchmarks/rank_harness.hpp"
#include "comm/gather.hpp"
#include "core/narrow.hpp"
#include "runtime/layer/oracle_check.hpp"
#include "runtime/model/synthetic_weights.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr uint64_t kStatesTag = 5;
constexpr int64_t kOracleBudget = int64_t{1} << 28;  // multiply-adds of a rank: about a second
constexpr int64_t kMostTokensToCheck = 16;           // of a rank
constexpr double kShortBatch = 1e4;  // microseconds: shorter ones follow one another without a
                                     // barrier, as in a run

/// Rows that differ in any bit.
int64_t rows_that_differ(ConstMatrixView left, ConstMatrixView right) {
  int64_t differ = 0;
  for (int64_t i = 0; i < left.rows; ++i) {
    const auto bytes = static_cast<size_t>(left.row_bytes());
    differ += std::memcmp(left.row(i), right.row(i), bytes) == 0 ? 0 : 1;
  }
  return differ;
}

}  // namespace

ModelConfig layer_config(const LayerOptions& options, int64_t ffn_size) {
  const RankOptions& shape = options.common;
  ModelConfig config;
  config.num_layers = narrow<int>(shape.num_layers, "--num-layers");
  config.hidden_size = shape.hidden_size;
  config.ffn_size = ffn_size;
  config.num_experts = shape.num_experts;
  config.num_shared_experts = options.num_shared_experts;
  config.top_k = narrow<int>(shape.top_k, "--top-k");
  config.vocab_size = shape.workload.vocab_size;
  config.activation = options.activation;
  config.score = options.score;
  config.router = RouterKind::token;
  if (options.gate) config.gate = Gate{.kind = *options.gate};
  validate_config(config, "hashep-bench layer");
  return config;
}

LayerCase::LayerCase(const LayerOptions& options, const ModelConfig& config, DType dtype,
                     const Workload& workload, Transport& transport, const JobRanks& ranks)
    : options_(options),
      config_(config),
      dtype_(dtype),
      workload_(workload),
      transport_(transport),
      comm_(ranks.comm),
      watch_(ranks.watch),
      weights_(make_synthetic_weights(config, dtype, kSeed)),
      stack_(config, *weights_, workload.placements(), ranks.comm.rank(), false, exec_options(),
             transport),
      yardsticks_(config, *weights_, workload.placements(), ranks.comm.rank(), exec_options()) {
  const int64_t bytes = tokens() * config.hidden_size * dtype_size(dtype);
  input_.reserve(bytes);
  state_.reserve(bytes);
  if (residual()) output_.reserve(bytes);
  make_input();
  // Or else the way of planning that meets a batch first pays for all.
  stack_.prepare_kernels(tokens() * ranks.comm.size());
  const StepRows rows{view(input_), view(state_), residual() ? view(output_) : MatrixView{}};
  std::vector<PlanWhen> whens = options.planning;
  if (whens.size() > 1) whens.push_back(PlanWhen::at_hand);
  for (const PlanWhen when : whens) {
    ways_.push_back(
        {std::make_unique<LayerSteps>(when, workload, workload.split(tokens()), stack_, rows,
                                      threads(), config.gate.has_value(), ranks)});
  }
}

std::vector<LayerRow> LayerCase::measure() {
  check_first_batch();
  std::vector<RankTimed> things;
  for (const Way& way : ways_) {
    LayerSteps& steps = *way.steps;
    things.push_back({.prepare =
                          [this, &steps] {
                            if (before_sample_) before_sample_();
                            steps.begin_sample();
                          },
                      .steps = {[&steps] { steps.run(); }},
                      .short_us = kShortBatch,
                      .burst_of = 0});
  }
  const LayerSteps& first = *ways_.front().steps;
  const auto bounds = yardsticks_.things([&first] { return std::span(first.plan().layers); });
  things.insert(things.end(), bounds.begin(), bounds.end());
  const Samples samples = time_in_turn_on_ranks(comm_, watch_, options_.common.sampling, things);
  for (const Way& way : ways_) way.steps->end_samples();
  check_next_batch();
  for (const Way& way : ways_) way.steps->finish();
  return make_rows(samples);
}

void LayerCase::make_input() {
  fill_random_rows(kStatesTag, comm_.rank() * tokens(), view(input_));
}

void LayerCase::check_first_batch() {
  Buffer expected(view(state_).bytes());
  for (Way& way : ways_) {
    way.steps->begin_sample();
    if (&way == &ways_.front()) {
      way.wrong += run_checked(*way.steps);
      std::memcpy(expected.data(), state_.data(), view(state_).bytes());
      yardsticks_.set_copied(way.steps->plan().layers.front());
      yardsticks_.check(way.steps->plan().layers);
      if (!options_.dump_folder.empty()) {
        const BatchPlan& plan = way.steps->plan();
        StreamBatch batch;
        read_batch(workload_.stream(), workload_.split(tokens()), plan.step, batch);
        dump_layer({config_, *weights_, plan, batch.ids, view(input_), view(state_)},
                   options_.dump_folder);
      }
    } else {
      way.steps->run();
      way.wrong += rows_that_differ(view(state_), view(expected));
    }
  }
}

void LayerCase::check_next_batch() {
  for (Way& way : ways_) {
    if (way.steps->when() == PlanWhen::at_hand) continue;
    way.wrong += run_checked(*way.steps);
  }
  yardsticks_.check(ways_.front().steps->plan().layers);
}

int64_t LayerCase::run_checked(LayerSteps& steps) {
  const int64_t affordable = kOracleBudget / std::max<int64_t>(1, oracle_cost_per_token(config_));
  LayerStates states(
      spread_tokens(tokens(), std::clamp<int64_t>(affordable, 1, kMostTokensToCheck)));
  steps.record(&states);
  steps.run();
  steps.record(nullptr);
  const auto difference = compare_with_oracle(config_, *weights_, steps.plan(), states,
                                              {.numbers = {dtype_}, .residual = residual()});
  return difference.is_explained() ? 0 : 1;
}

}  // namespace hashep::bench
