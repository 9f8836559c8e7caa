// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/sim/sim_bench.hpp"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "benchmarks/sim/sim_case.hpp"
#include "benchmarks/sim/simulated_exchange.hpp"
#include "benchmarks/sim/simulated_rank.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {
namespace {

/// What one transport did, over all ranks.
struct Outcome {
  double dispatch_us = 0.0;
  double combine_us = 0.0;
  double layer_us = 0.0;
  SentMessages dispatched;
  SentMessages combined;
  int64_t wrong = 0;  // rows that did not come as the plans say
};

class SimBench {
 public:
  SimBench(const SimOptions& options, int ranks, int rank)
      : options_(options),
        row_bytes_(options.hidden_size * dtype_size(options.dtype)),
        case_(make_sim_case(options, ranks, rank)),
        rank_(case_.nodes) {}

  bool speaks() const { return rank_.rank() == 0; }

  Outcome run(const std::string& name) {
    const auto make = name == "mpi" ? make_flat_exchange : make_hier_exchange;
    const std::unique_ptr<SimulatedExchange> exchange = make(rank_, case_.plan, row_bytes_);
    const int64_t missing_before = rank_.missing_bytes();
    Outcome outcome;

    rank_.begin_together();
    for (int part = 0; part < exchange->num_parts(); ++part) exchange->dispatch(part);
    outcome.dispatch_us = rank_.end_together();
    outcome.dispatched = SimulatedRank::sent_messages();

    rank_.begin_together();
    for (int part = 0; part < exchange->num_parts(); ++part) exchange->give_back(part);
    exchange->combine();
    outcome.combine_us = rank_.end_together();
    outcome.combined = SimulatedRank::sent_messages();
    outcome.wrong = rank_.sum((rank_.missing_bytes() - missing_before) / row_bytes_);

    rank_.begin_together();
    run_layer(*exchange);
    outcome.layer_us = rank_.end_together();
    return outcome;
  }

  nlohmann::ordered_json rows_of(const std::string& transport, const Outcome& outcome) const {
    int64_t out = case_.traffic.rows_inter * row_bytes_;
    const int64_t back = out;
    if (transport == "hier") {
      out = case_.traffic.rows_inter_dedup * row_bytes_;
      for (const BufferRows& of_rank : case_.traffic.buffers) {
        out += of_rank.out_routes * static_cast<int64_t>(sizeof(NodePlan::Route));
      }
    }
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    rows.push_back(row("dispatch", transport, outcome.dispatch_us, outcome.wrong));
    add_messages(rows.back(), out, outcome.dispatched);
    rows.push_back(row("combine", transport, outcome.combine_us, outcome.wrong));
    add_messages(rows.back(), back, outcome.combined);
    rows.push_back(row("layer", transport, outcome.layer_us, std::nullopt));
    return rows;
  }

 private:
  /// As a layer does it: rows of the own node compute while others travel, where the exchange comes
  /// in parts (of hier: near rows, far rows, none).
  void run_layer(SimulatedExchange& exchange) {
    const int parts = exchange.num_parts();
    std::vector<int64_t> near = all_rows();
    const std::vector<int64_t> far = far_rows();
    for (size_t i = 0; i < near.size() && parts > 1; ++i) near[i] -= far[i];
    for (int part = 0; part < parts; ++part) {
      exchange.dispatch(part);
      if (part == 0) compute(near);
      if (part == 1) compute(far);
      exchange.give_back(part);
    }
    exchange.combine();
  }
  void compute(const std::vector<int64_t>& expert_rows) const {
    SimulatedRank::pass(
        experts_seconds(options_.gemm, expert_rows, options_.hidden_size, options_.ffn_size));
  }
  std::vector<int64_t> all_rows() const {
    const auto& offsets = case_.plan.expert_offsets;
    std::vector<int64_t> rows;
    for (size_t i = 0; i + 1 < offsets.size(); ++i) rows.push_back(offsets[i + 1] - offsets[i]);
    return rows;
  }
  std::vector<int64_t> far_rows() const {
    const auto& offsets = case_.plan.expert_offsets;
    std::vector<int64_t> rows(offsets.size() - 1);
    for (size_t i = 0; i < rows.size(); ++i) {
      for (const Range& far : case_.plan.across.far_rows) {
        rows[i] += std::max<int64_t>(
            0, std::min(far.end, offsets[i + 1]) - std::max(far.begin, offsets[i]));
      }
    }
    return rows;
  }

  nlohmann::ordered_json row(const char* name, const std::string& transport, double us,
                             std::optional<int64_t> wrong) const {
    nlohmann::ordered_json row = row_json({.name = name,
                                           .transport = transport,
                                           .device = std::nullopt,
                                           .dtype = std::string(dtype_name(options_.dtype)),
                                           .workload = "uniform",
                                           .tokens_per_rank = options_.tokens_per_rank,
                                           .hidden_size = options_.hidden_size,
                                           .ffn_size = options_.ffn_size,
                                           .num_experts = options_.num_experts,
                                           .top_k = options_.top_k,
                                           .bytes_off_rank = std::nullopt,
                                           .samples_us = {us},
                                           .wrong = wrong});
    row["vocab_size"] = options_.vocab_size;
    row["ranks"] = rank_.size();
    row["ranks_per_node"] = options_.ranks_per_node;
    row["simulated"] = true;
    return row;
  }
  /// What the plans of all ranks say that nodes send each other, and what they sent.
  static void add_messages(nlohmann::ordered_json& row, int64_t planned, SentMessages sent) {
    row["bytes_inter_planned"] = planned;
    row["bytes_inter"] = sent.bytes;
    row["messages_inter"] = sent.messages;
  }

  const SimOptions& options_;
  int64_t row_bytes_;
  SimCase case_;
  SimulatedRank rank_;
};

}  // namespace

nlohmann::ordered_json simulate(const SimOptions& options, int ranks, int rank) {
  SimBench bench(options, ranks, rank);
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const std::string& transport : options.transports) {
    const Outcome outcome = bench.run(transport);
    if (!bench.speaks()) continue;
    for (auto& row : bench.rows_of(transport, outcome)) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace hashep::bench
