// SPDX-License-Identifier: Apache-2.0
// What LayerCase reports, from samples.
#include <array>

#include "benchmarks/layer_case.hpp"
#include "benchmarks/layer_parts.hpp"
#include "benchmarks/layer_row.hpp"
#include "comm/gather.hpp"
#include "comm/plan/plan_stats.hpp"

namespace hashep::bench {
namespace {

constexpr std::array kPhases = {Phase::route,    Phase::plan,    Phase::gate,
                                Phase::dispatch, Phase::experts, Phase::shared_experts,
                                Phase::combine};

int64_t sum_over(std::span<const ExchangePlan> layers, int64_t (*rows_of)(const ExchangePlan&)) {
  int64_t rows = 0;
  for (const ExchangePlan& layer : layers) rows += rows_of(layer);
  return rows;
}

int64_t rows_received(const ExchangePlan& plan) {
  return plan.total_recv();
}

bool moves_rows(const LayerRow& row) {
  return row.name == "dispatch" || row.name == "combine";
}

}  // namespace

std::vector<LayerRow> LayerCase::make_rows(const Samples& samples) {
  std::vector<LayerRow> rows;
  for (size_t i = 0; i < ways_.size(); ++i) {
    for (LayerRow& row : step_rows(ways_[i], samples[i].front())) rows.push_back(std::move(row));
  }
  rows.push_back(make_row("gemm_alone", yardstick(samples, LayerYardsticks::kGemmAlone)));
  rows.back().wrong = reduce_sum(comm_, watch_, yardsticks_.wrong_in_gemms());
  const RankSamples& copy = copy_bound(samples);
  rows.push_back(make_row("copy_bound", copy));
  rows.back().wrong = reduce_sum(comm_, watch_, yardsticks_.wrong_in_copies());
  const bool streams = &copy == &yardstick(samples, LayerYardsticks::kCopyStreaming);
  rows.back().workload = workload_.name() + (streams ? ", non-temporal" : ", memcpy");
  complete_rows(samples, rows);
  return rows;
}

const RankSamples& LayerCase::copy_bound(const Samples& samples) const {
  const RankSamples& plain = yardstick(samples, LayerYardsticks::kCopyPlain);
  const RankSamples& streaming = yardstick(samples, LayerYardsticks::kCopyStreaming);
  return median(streaming.max_us) < median(plain.max_us) ? streaming : plain;
}

std::vector<LayerRow> LayerCase::step_rows(const Way& way, const RankSamples& layer) {
  std::vector<LayerRow> rows;
  for (const Phase phase : kPhases) {
    if (way.steps->when() == PlanWhen::at_hand) break;
    const auto own = way.steps->newest(phase, options_.common.sampling.samples);
    if (own.empty()) continue;  // on all ranks alike
    rows.push_back(make_row(phase_name(phase), reduce_samples(comm_, watch_, own, layer.burst)));
  }
  rows.push_back(make_row("layer", layer));
  const int64_t wrong = reduce_sum(comm_, watch_, way.wrong);
  for (LayerRow& row : rows) {
    row.when = way.steps->when();
    row.transport = std::string(transport_.name());
    row.wrong = wrong;
  }
  return rows;
}

LayerRow LayerCase::make_row(const std::string& name, const RankSamples& samples) const {
  LayerRow row = make_layer_row(name, samples, options_.common, config_, dtype_, workload_);
  if (config_.gate) row.router = "learned, " + std::string(gate_kind_name(config_.gate->kind));
  return row;
}

void LayerCase::complete_rows(const Samples& samples, std::vector<LayerRow>& rows) {
  const std::span<const ExchangePlan> layers = ways_.front().steps->plan().layers;
  const double operations =
      routed_operations(config_, reduce_sum(comm_, watch_, sum_over(layers, rows_received)));
  const int64_t row_bytes = config_.hidden_size * dtype_size(dtype_);
  const auto most_bytes = [&](int64_t (*rows_of)(const ExchangePlan&)) {
    return reduce_max(comm_, watch_, sum_over(layers, rows_of) * row_bytes);
  };
  const int64_t sent = most_bytes(rows_sent_off_rank);
  const int64_t returned = most_bytes(rows_received_off_rank);
  const RankSamples& gemm_alone = yardstick(samples, LayerYardsticks::kGemmAlone);
  const auto per_second = [](double count, const LayerRow& row) {
    return count / (median(row.samples_us) * 1e-6);
  };
  for (LayerRow& row : rows) {
    const bool computes = row.name == "layer" || row.name == "experts";
    if (row.name == "layer") {
      row.tokens_per_s = per_second(static_cast<double>(tokens() * comm_.size()), row);
    }
    if (computes || row.name == "gemm_alone") row.gflops = per_second(operations * 1e-9, row);
    if (computes) row.share_of_gemm_bound = median_ratio(gemm_alone.max_us, row.samples_us);
    if (!moves_rows(row)) continue;
    row.share_of_copy_bound = median_ratio(copy_bound(samples).max_us, row.samples_us);
    row.bytes_off_rank = row.name == "dispatch" ? sent : returned;
  }
}

}  // namespace hashep::bench
