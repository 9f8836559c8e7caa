// SPDX-License-Identifier: Apache-2.0
#include "launch/plan_report.hpp"

#include <algorithm>

#include "core/format.hpp"
#include "core/units.hpp"
#include "launch/heat_map.hpp"
#include "launch/process/source_words.hpp"

namespace hashep {
namespace {

const char* unit_name(TrafficUnit unit) {
  return unit == TrafficUnit::rank ? "rank" : "node";
}

/// Bytes of a step from rows of all steps.
std::vector<int64_t> bytes_of_step(const PlannedJob& job, const std::vector<int64_t>& rows,
                                   int64_t steps) {
  std::vector<int64_t> bytes;
  bytes.reserve(rows.size());
  for (const int64_t count : rows) bytes.push_back(count * job.row_bytes / steps);
  return bytes;
}

}  // namespace

std::string plan_table_head() {
  return "                 load, max/mean, and its bound          dispatch, all ranks, bytes a step"
         "      largest rank\n"
         "  ranks  /node   expert   bound    rank    node   inside nodes      between  once a node"
         "      buffers        plans\n";
}

std::string plan_table_line(const PlannedJob& job) {
  const DryRunResult& r = job.result;
  return format("%7lld%7lld%9.3f%8.3f%8.3f%8.3f%15s%13s%13s%13s%13s\n",
                static_cast<long long>(job.ranks), static_cast<long long>(job.ranks_per_node),
                r.expert_max_over_mean, job.bound, r.rank_max_over_mean, r.node_max_over_mean,
                format_bytes(r.bytes_intra).c_str(), format_bytes(r.bytes_inter).c_str(),
                format_bytes(r.bytes_inter_dedup).c_str(), format_bytes(r.buffer_bytes_max).c_str(),
                format_bytes(r.plan_bytes_max).c_str());
}

std::string training_head() {
  return "\n                 training, largest rank\n"
         "  ranks  /node     parameters         packed      gradients          AdamW           "
         "tape\n";
}

std::string training_line(const PlannedJob& job) {
  const TrainingMemory& memory = *job.training;
  return format("%7lld%7lld%15s%15s%15s%15s%15s\n", static_cast<long long>(job.ranks),
                static_cast<long long>(job.ranks_per_node), format_bytes(memory.parameters).c_str(),
                format_bytes(memory.packed).c_str(), format_bytes(memory.gradients).c_str(),
                format_bytes(memory.states).c_str(),
                format_bytes(job.result.tape_bytes_max).c_str());
}

std::string streaming_head() {
  return "\n                 experts of all ranks in all steps                     a step, largest "
         "rank"
         "      rows that\n"
         "  ranks  /node     held       uses      loads      least        LRU         read       "
         "waits"
         "   hide reads\n";
}

std::string streaming_line(const PlannedJob& job, int64_t steps) {
  const PlannedStreaming& s = *job.streaming;
  const std::string waits =
      s.hiding_rows > 0.0 ? format("%.2f ms", 1e3 * s.all.stall_s / static_cast<double>(steps))
                          : "-";
  const std::string rows = s.hiding_rows > 0.0 ? format("%.0f", s.hiding_rows) : "-";
  return format("%7lld%7lld%9lld%11lld%11lld%11lld%11lld%13s%12s%13s\n",
                static_cast<long long>(job.ranks), static_cast<long long>(job.ranks_per_node),
                static_cast<long long>(s.budget.slots), static_cast<long long>(s.all.uses),
                static_cast<long long>(s.all.loads), static_cast<long long>(s.all.least_loads),
                static_cast<long long>(s.all.lru_loads), format_bytes(s.most_bytes / steps).c_str(),
                waits.c_str(), rows.c_str());
}

std::string traffic_text(const PlannedJob& job, int64_t steps) {
  const TrafficMatrix& matrix = job.result.traffic;
  if (matrix.size == 1) {
    return std::to_string(job.ranks) + " ranks, " + std::to_string(job.ranks_per_node) +
           " a node: nothing leaves the only " + unit_name(*job.traffic_unit) + "\n";
  }
  const std::string unit = unit_name(*job.traffic_unit);
  const auto largest_of = [&](const std::vector<int64_t>& bytes) {
    int64_t most = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      const auto cell = static_cast<int64_t>(i);
      if (cell / matrix.size != cell % matrix.size) most = std::max(most, bytes[i]);
    }
    return format_bytes(most);
  };
  const std::vector<int64_t> bytes = bytes_of_step(job, matrix.rows, steps);
  std::string text = std::to_string(job.ranks) + " ranks, " + std::to_string(job.ranks_per_node) +
                     " a node: dispatch from each " + unit + " (row) to each (column), at most " +
                     largest_of(bytes) + "\n" + heat_map(bytes, matrix.size);
  if (matrix.rows_dedup.empty()) return text;
  const std::vector<int64_t> dedup = bytes_of_step(job, matrix.rows_dedup, steps);
  return text + "the same where a row crosses to a node once, at most " + largest_of(dedup) + "\n" +
         heat_map(dedup, matrix.size);
}

nlohmann::ordered_json plan_row(const PlannedJob& job, const PlanCommandOptions& options,
                                const ModelConfig& config) {
  const DryRunResult& r = job.result;
  const std::string transport = options.transport == "mpi" ? "mpi" : job.nodes > 1 ? "hier" : "shm";
  nlohmann::ordered_json row{{"ranks", job.ranks},
                             {"ranks_per_node", job.ranks_per_node},
                             {"nodes", job.nodes},
                             {"transport", transport},
                             {"dtype", options.dtype},
                             {"placement", placement_word(options.placement)},
                             {"workload", options.routing.tokens.path.empty() ? "zipf" : "tokens"},
                             {"tokens_per_rank", options.tokens_per_rank},
                             {"steps", options.steps},
                             {"num_layers", config.num_layers},
                             {"hidden_size", config.hidden_size},
                             {"num_experts", config.num_experts},
                             {"top_k", config.top_k},
                             {"expert_max_over_mean", r.expert_max_over_mean},
                             {"rank_max_over_mean", r.rank_max_over_mean},
                             {"node_max_over_mean", r.node_max_over_mean},
                             {"bound", job.bound},
                             {"bytes_intra", r.bytes_intra},
                             {"bytes_inter", r.bytes_inter},
                             {"bytes_inter_dedup", r.bytes_inter_dedup},
                             {"buffer_bytes_max", r.buffer_bytes_max},
                             {"plan_bytes_max", r.plan_bytes_max},
                             {"counts_bytes_node_max", r.counts_bytes_node_max},
                             {"seconds", job.seconds}};
  if (job.training) {
    row["training"] = {{"recompute", options.recompute},
                       {"parameter_bytes_max", job.training->parameters},
                       {"packed_bytes_max", job.training->packed},
                       {"gradient_bytes_max", job.training->gradients},
                       {"optimizer_bytes_max", job.training->states},
                       {"tape_bytes_max", r.tape_bytes_max}};
  }
  if (job.streaming) {
    const PlannedStreaming& s = *job.streaming;
    row["streaming"] = {{"weight_memory", options.weight_memory},
                        {"slots", s.budget.slots},
                        {"slot_bytes", s.budget.slot_bytes},
                        {"uses", s.all.uses},
                        {"loads", s.all.loads},
                        {"least_loads", s.all.least_loads},
                        {"lru_loads", s.all.lru_loads},
                        {"bytes_read", s.all.bytes_read},
                        {"bytes_read_max", s.most_bytes}};
    if (s.hiding_rows > 0.0) {
      row["streaming"]["stall_s"] = s.all.stall_s;
      row["streaming"]["compute_s"] = s.all.compute_s;
      row["streaming"]["rows_that_hide_reads"] = s.hiding_rows;
    }
  }
  if (!options.traffic.empty()) {
    row["traffic"] = {{"unit", unit_name(*job.traffic_unit)},
                      {"bytes", bytes_of_step(job, r.traffic.rows, options.steps)}};
    if (!r.traffic.rows_dedup.empty()) {
      row["traffic"]["bytes_dedup"] = bytes_of_step(job, r.traffic.rows_dedup, options.steps);
    }
  }
  return row;
}

std::string traffic_csv_head() {
  return "ranks,ranks_per_node,unit,source,target,bytes,bytes_dedup\n";
}

std::string traffic_csv(const PlannedJob& job, int64_t steps) {
  const TrafficMatrix& matrix = job.result.traffic;
  const std::string head = std::to_string(job.ranks) + "," + std::to_string(job.ranks_per_node) +
                           "," + unit_name(*job.traffic_unit) + ",";
  const std::vector<int64_t> bytes = bytes_of_step(job, matrix.rows, steps);
  const std::vector<int64_t> dedup = bytes_of_step(job, matrix.rows_dedup, steps);
  std::string text;
  for (int64_t cell = 0; cell < matrix.size * matrix.size; ++cell) {
    const auto i = static_cast<size_t>(cell);
    text += head + std::to_string(cell / matrix.size) + "," + std::to_string(cell % matrix.size) +
            "," + std::to_string(bytes[i]) + "," +
            (dedup.empty() ? std::string() : std::to_string(dedup[i])) + "\n";
  }
  return text;
}

}  // namespace hashep
