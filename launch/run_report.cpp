// SPDX-License-Identifier: Apache-2.0
#include "launch/run_report.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "comm/gather.hpp"
#include "core/format.hpp"
#include "core/units.hpp"
#include "launch/binding_report.hpp"

namespace hashep {
namespace {

constexpr std::array kReportedPhases = {Phase::route,          Phase::plan,     Phase::gate,
                                        Phase::dispatch,       Phase::far_rows, Phase::experts,
                                        Phase::shared_experts, Phase::combine,  Phase::step};

MemoryUse largest(const Communicator& comm, Watch& watch, const MemoryUse& own) {
  const auto max = [&](int64_t value) { return reduce_max(comm, watch, value); };
  return {.on_gpu = own.on_gpu,
          .weights = max(own.weights),
          .row_buffers = max(own.row_buffers),
          .shared_rows = max(own.shared_rows),
          .workspace = max(own.workspace),
          .scratch = max(own.scratch),
          .plans = max(own.plans),
          .gpu_plans = max(own.gpu_plans),
          .peak_rss = max(own.peak_rss)};
}

/// Of all ranks: what they read, and the longest wait.
StreamingStats of_all(const Communicator& comm, Watch& watch, const StreamingStats& own) {
  const auto sum = [&](int64_t value) { return reduce_sum(comm, watch, value); };
  const auto max = [&](int64_t value) { return reduce_max(comm, watch, value); };
  const std::vector<double> seconds =
      reduce_max(comm, watch, std::vector{own.wait_s, own.unpack_s});
  return {.slots = max(own.slots),
          .slot_bytes = max(own.slot_bytes),
          .buffer_bytes = max(own.buffer_bytes),
          .uses = sum(own.uses),
          .loads = sum(own.loads),
          .bytes_read = sum(own.bytes_read),
          .least_loads = sum(own.least_loads),
          .lru_loads = sum(own.lru_loads),
          .wait_s = seconds[0],
          .unpack_s = seconds[1]};
}

std::string streaming_lines(const StreamingStats& of, int64_t steps) {
  return format(
      "  experts read          %lld of %lld uses, %s; least possible %lld, LRU %lld; a rank holds "
      "%lld\n"
      "  waited for experts    %.1f ms a step (slowest rank)\n",
      static_cast<long long>(of.loads), static_cast<long long>(of.uses),
      format_bytes(of.bytes_read).c_str(), static_cast<long long>(of.least_loads),
      static_cast<long long>(of.lru_loads), static_cast<long long>(of.slots),
      1e3 * of.wait_s / static_cast<double>(steps));
}

nlohmann::ordered_json streaming_json(const StreamingStats& of) {
  return {{"slots", of.slots},
          {"slot_bytes", of.slot_bytes},
          {"buffer_bytes", of.buffer_bytes},
          {"uses", of.uses},
          {"loads", of.loads},
          {"bytes_read", of.bytes_read},
          {"least_loads", of.least_loads},
          {"lru_loads", of.lru_loads},
          {"wait_s", of.wait_s},
          {"unpack_s", of.unpack_s}};
}

using MemoryPart = std::pair<const char*, int64_t>;

/// A line for each part; `rest` loses what they take.
std::string part_lines(std::span<const MemoryPart> parts, int64_t& rest) {
  std::string text;
  for (const auto& [name, bytes] : parts) {
    text += format("    %-20s%s\n", name, format_bytes(bytes).c_str());
    rest -= bytes;
  }
  return text;
}

std::string memory_lines(const MemoryUse& memory) {
  const std::array<MemoryPart, 5> of_device = {{{"weights", memory.weights},
                                                {"row buffers", memory.row_buffers},
                                                {"other ranks' rows", memory.shared_rows},
                                                {"workspace", memory.workspace},
                                                {"expert scratch", memory.scratch}}};
  const std::array<MemoryPart, 1> plans = {{{"plans", memory.plans}}};
  const std::array<MemoryPart, 1> gpu_plans = {{{"plans", memory.gpu_plans}}};
  std::string text;
  int64_t rest = memory.peak_rss;
  text += "  peak memory           " + format_bytes(rest) + " on the largest rank\n";
  if (!memory.on_gpu) text += part_lines(of_device, rest);
  text += part_lines(plans, rest);
  text += "    program, libraries  " + format_bytes(rest) + "\n";
  if (!memory.on_gpu) return text;
  int64_t gpu_rest = 0;
  const std::string lines = part_lines(of_device, gpu_rest) + part_lines(gpu_plans, gpu_rest);
  return text + "  GPU memory            " + format_bytes(-gpu_rest) + "\n" + lines;
}

}  // namespace

RunResult gather_result(const Communicator& comm, Watch& watch, const PhaseLog& log,
                        const RunStats& stats, const RunDescription& description) {
  RunResult result;
  result.ranks = comm.size();
  result.stats = stats;
  for (const Phase phase : kReportedPhases) {
    std::vector<double> samples = log.samples(phase);
    if (samples.empty()) continue;
    MeasuredRow row = description.row;
    row.name = phase_name(phase);
    row.samples_us = reduce_max(comm, watch, std::move(samples));
    result.phases.push_back(std::move(row));
  }
  const std::vector<double>& steps = result.phases.back().samples_us;
  const double seconds = std::accumulate(steps.begin(), steps.end(), 0.0) * 1e-6;
  result.tokens_per_s =
      static_cast<double>(stats.batch_tokens) * static_cast<double>(steps.size()) / seconds;
  result.tokens_per_s_wall = static_cast<double>(stats.batch_tokens) *
                             static_cast<double>(stats.steps) /
                             reduce_max(comm, watch, std::vector<double>{stats.loop_s}).front();
  result.bytes_sent_per_step = reduce_sum(comm, watch, stats.bytes_sent) / stats.steps;
  result.stats.memory = largest(comm, watch, stats.memory);
  if (stats.streaming) result.stats.streaming = of_all(comm, watch, *stats.streaming);
  return result;
}

std::string result_table(const RunResult& result) {
  const RunStats& stats = result.stats;
  std::string text = format("\n  %-16s%12s%12s%12s%10s  (slowest rank)\n", "phase", "median us",
                            "p99 us", "max us", "samples");
  for (const MeasuredRow& row : result.phases) {
    text += format("  %-16s%12.1f%12.1f%12.1f%10zu\n", row.name.c_str(), median(row.samples_us),
                   percentile(row.samples_us, 0.99),
                   *std::max_element(row.samples_us.begin(), row.samples_us.end()),
                   row.samples_us.size());
  }
  text += format("\n  tokens/s              %.0f in the steps alone\n", result.tokens_per_s);
  text += format("  tokens/s, wall clock  %.0f in all of the loop, routing and planning too\n",
                 result.tokens_per_s_wall);
  text += "  sent between ranks    " + format_bytes(result.bytes_sent_per_step) + " per step\n";
  text += format("  load factor           experts %.2f, ranks %.2f (max/mean, worst layer)\n",
                 stats.expert_max_over_mean, stats.rank_max_over_mean);
  text +=
      format("  planning exchanges    %lld for %lld batches\n",
             static_cast<long long>(stats.planning_exchanges), static_cast<long long>(stats.steps));
  text +=
      format("  collectives in a step %lld\n", static_cast<long long>(stats.collectives_in_step));
  if (stats.streaming) text += streaming_lines(*stats.streaming, stats.steps);
  text += memory_lines(stats.memory);
  if (stats.check) {
    text += format(
        "  check                 ok: %lld tokens against the naive oracle, relative "
        "error at most %.1e (bound %.0e)\n",
        static_cast<long long>(stats.check->tokens), stats.check->max_relative_error,
        stats.check->bound);
  }
  return text;
}

std::string result_json(const RunResult& result, const RunDescription& description) {
  const RunStats& stats = result.stats;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  nlohmann::ordered_json phases;
  for (const MeasuredRow& row : result.phases) {
    phases[row.name] = row_json(row);
    rows.push_back(phases[row.name]);
  }
  nlohmann::ordered_json document = result_document(description.head, std::move(rows));
  document["threads_per_rank"] = description.threads.threads;
  document["threads_why"] = description.threads.why;
  document["implementation"] = description.implementation;
  if (!description.bindings.empty()) document["binding"] = binding_json(description.bindings);
  document["model"] = model_json(description.model);
  document["phases"] = phases;
  document["tokens_per_s"] = result.tokens_per_s;
  document["tokens_per_s_wall"] = result.tokens_per_s_wall;
  document["bytes_sent_per_step"] = result.bytes_sent_per_step;
  document["load"] = {{"expert_max_over_mean", stats.expert_max_over_mean},
                      {"rank_max_over_mean", stats.rank_max_over_mean}};
  document["planning_exchanges"] = stats.planning_exchanges;
  document["collectives_in_step"] = stats.collectives_in_step;
  document["peak_rss_bytes"] = stats.memory.peak_rss;
  document["memory"] = {
      {"weights", stats.memory.weights},         {"row_buffers", stats.memory.row_buffers},
      {"shared_rows", stats.memory.shared_rows}, {"workspace", stats.memory.workspace},
      {"expert_scratch", stats.memory.scratch},  {"plans", stats.memory.plans}};
  if (stats.memory.on_gpu) document["memory"]["gpu_plans"] = stats.memory.gpu_plans;
  if (stats.streaming) document["streaming"] = streaming_json(*stats.streaming);
  if (stats.check) {
    document["check"] = {{"tokens", stats.check->tokens},
                         {"max_relative_error", stats.check->max_relative_error},
                         {"bound", stats.check->bound},
                         {"max_share_of_bound", stats.check->max_share}};
  }
  return document.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace hashep
