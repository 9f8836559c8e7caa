// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_case.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "benchmarks/layer_dump.hpp"
#include "benchmarks/rank_harness.hpp"
#include "comm/gather.hpp"
#include "comm/plan/plan_stats.hpp"
#include "core/narrow.hpp"
#include "core/random.hpp"
#include "runtime/exec/oracle_check.hpp"
#include "runtime/model/synthetic_weights.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr uint64_t kStatesTag = 5;
constexpr int64_t kOracleBudget = int64_t{1} << 28;  // multiply-adds of a rank: about a second
constexpr int64_t kMostTokensToCheck = 16;           // of a rank

}  // namespace

ModelConfig layer_config(const LayerOptions& options, int64_t ffn_size) {
  const RankOptions& shape = options.common;
  ModelConfig config;
  config.num_layers = 1;
  config.hidden_size = shape.hidden_size;
  config.ffn_size = ffn_size;
  config.num_experts = shape.num_experts;
  config.top_k = narrow<int>(shape.top_k, "--top-k");
  config.vocab_size = shape.vocab_size;
  config.activation = options.activation;
  config.score = options.score;
  config.router = RouterKind::token;
  validate_config(config, "hashep-bench layer");
  return config;
}

LayerCase::LayerCase(const LayerOptions& options, const ModelConfig& config, DType dtype,
                     const Workload& workload, Transport& transport, const Communicator& comm,
                     Watch& watch)
    : options_(options),
      config_(config),
      dtype_(dtype),
      workload_(workload),
      transport_(transport),
      comm_(comm),
      watch_(watch),
      weights_(make_synthetic_weights(config, dtype, kSeed)),
      stack_(config, *weights_, workload.placements(), comm.rank(), false,
             {.dtype = dtype, .threads = threads(), .watch = &watch}, transport),
      gemms_(config, *weights_, workload.local_experts(), dtype, threads()),
      log_(&watch, rounds(), false),
      pipeline_(workload.pipeline(workload.split(tokens()), comm, watch)) {
  const int64_t bytes = tokens() * config.hidden_size * dtype_size(dtype);
  input_.reserve(bytes);
  state_.reserve(bytes);
  make_input();
}

std::vector<MeasuredRow> LayerCase::measure() {
  pipeline_.start(0, log_);
  next_batch();
  stack_.run(*plan_, state(), log_);
  gemms_.prepare(plan_->layers.front().expert_offsets);
  gemms_.run();
  check();
  if (!options_.dump_folder.empty()) {
    dump_layer({config_, *weights_, *plan_, input(), state()}, options_.dump_folder);
  }
  log_.clear();

  const std::array<RankTimed, 2> things = {
      {{[this] { next_batch(); }, {[this] { stack_.run(*plan_, state(), log_); }}, false},
       {[this] { gemms_.prepare(plan_->layers.front().expert_offsets); },
        {[this] { gemms_.run(); }},
        false}}};
  const auto samples = time_in_turn_on_ranks(comm_, watch_, options_.common.sampling, things);
  check();
  std::vector<MeasuredRow> measured = rows(samples[0][0].max_us, samples[1][0].max_us);
  pipeline_.finish(log_);  // the exchange for a batch that is not run
  return measured;
}

void LayerCase::make_input() {
  std::vector<float> row(static_cast<size_t>(config_.hidden_size));
  const int64_t first = comm_.rank() * tokens();
  for (int64_t i = 0; i < tokens(); ++i) {
    fill_normal(kStatesTag, (first + i) * config_.hidden_size, row);
    convert_from_float(row.data(), config_.hidden_size, dtype_, input().row(i));
  }
}

void LayerCase::next_batch() {
  plan_ = &pipeline_.finish(log_);
  stack_.prepare(*plan_);
  pipeline_.start(plan_->step + 1, log_);
  std::memcpy(state_.data(), input_.data(), static_cast<size_t>(input().bytes()));
}

void LayerCase::check() {
  const int64_t affordable = kOracleBudget / std::max<int64_t>(1, oracle_cost_per_token(config_));
  const int64_t count = std::clamp<int64_t>(affordable, 1, std::min(tokens(), kMostTokensToCheck));
  const auto width = static_cast<size_t>(config_.hidden_size);
  std::vector<int64_t> chosen;
  std::vector<float> inputs(static_cast<size_t>(count) * width);
  for (int64_t i = 0; i < count; ++i) {
    chosen.push_back(i * tokens() / count);
    convert_to_float(dtype_, input().row(chosen.back()), config_.hidden_size,
                     inputs.data() + static_cast<size_t>(i) * width);
  }
  const auto want = oracle_stack(config_, *weights_, *plan_, chosen, std::move(inputs),
                                 {.dtype = dtype_, .residual = false});
  std::vector<float> got(width);
  for (size_t i = 0; i < chosen.size(); ++i) {
    convert_to_float(dtype_, state().row(chosen[i]), config_.hidden_size, got.data());
    const double error =
        max_relative_error(got, std::span(want).subspan(i * width, width), config_.hidden_size);
    wrong_in_layer_ += error < error_bound(dtype_) ? 0 : 1;
  }
  wrong_in_gemms_ += gemms_.wrong_rows();
}

std::vector<double> LayerCase::phase(Phase phase) const {
  std::vector<double> samples = log_.samples(phase);
  const auto wanted = static_cast<size_t>(options_.common.sampling.samples);
  if (samples.size() < wanted) return {};
  samples.erase(samples.begin(), samples.end() - static_cast<std::ptrdiff_t>(wanted));
  return reduce_max(comm_, watch_, std::move(samples));
}

std::vector<MeasuredRow> LayerCase::rows(const std::vector<double>& layer,
                                         const std::vector<double>& gemm_alone) {
  std::vector<double> plan = phase(Phase::plan);
  const std::vector<double> route = phase(Phase::route);
  for (size_t i = 0; i < plan.size(); ++i) plan[i] += route[i];

  std::vector<MeasuredRow> rows;
  const auto add = [&](const char* name, std::vector<double> samples) {
    if (samples.empty()) return;
    rows.push_back(blank());
    rows.back().name = name;
    rows.back().samples_us = std::move(samples);
  };
  add("plan", std::move(plan));
  for (const Phase each : {Phase::gate, Phase::dispatch, Phase::experts, Phase::combine}) {
    add(phase_name(each), phase(each));
  }
  add("layer", layer);
  add("gemm_alone", gemm_alone);

  const int64_t row_bytes = config_.hidden_size * dtype_size(dtype_);
  const ExchangePlan& last = plan_->layers.front();
  const int64_t sent = reduce_max(comm_, watch_, rows_sent_off_rank(last) * row_bytes);
  const int64_t returned = reduce_max(comm_, watch_, rows_received_off_rank(last) * row_bytes);
  const int64_t wrong_in_layer = reduce_sum(comm_, watch_, wrong_in_layer_);
  const int64_t wrong_in_gemms = reduce_sum(comm_, watch_, wrong_in_gemms_);
  for (MeasuredRow& row : rows) {
    row.wrong = row.name == "gemm_alone" ? wrong_in_gemms : wrong_in_layer;
    if (row.name == "dispatch") row.bytes_off_rank = sent;
    if (row.name == "combine") row.bytes_off_rank = returned;
  }
  return rows;
}

MeasuredRow LayerCase::blank() const {
  MeasuredRow row;
  row.transport = std::string(transport_.name());
  row.device = "cpu";
  row.dtype = dtype_name(dtype_);
  row.workload = workload_.name();
  row.tokens_per_rank = tokens();
  row.hidden_size = config_.hidden_size;
  row.ffn_size = config_.ffn_size;
  row.num_experts = config_.num_experts;
  row.top_k = config_.top_k;
  return row;
}

}  // namespace hashep::bench
