// SPDX-License-Identifier: Apache-2.0
#include "launch/run_job.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <sstream>

#include "comm/agreement.hpp"
#include "comm/gather.hpp"
#include "comm/plan/plan_stats.hpp"
#include "comm/watch.hpp"
#include "core/format.hpp"
#include "core/narrow.hpp"
#include "hashep/version.hpp"
#include "launch/binding_report.hpp"
#include "launch/chrome_trace.hpp"
#include "launch/hidden_states.hpp"
#include "launch/peak_rss.hpp"
#include "launch/process/standard_streams.hpp"
#include "launch/progress.hpp"
#include "launch/run_report.hpp"
#include "launch/run_setup.hpp"
#include "runtime/layer/oracle_check.hpp"
#include "runtime/layer/stream_planner.hpp"

namespace hashep {
namespace {

// Multiply-adds that --check spends on a rank by default: a few seconds of plain loops.
constexpr int64_t kCheckBudget = int64_t{1} << 30;

/// Tokens of this rank to check: evenly spaced, as many as asked for or as the budget allows.
std::vector<int64_t> tokens_to_check(const RunOptions& options, const RunSetup& setup) {
  const int64_t tokens = setup.rows().size();
  const int64_t affordable = std::max<int64_t>(
      1, kCheckBudget / std::max<int64_t>(1, oracle_cost_per_token(setup.config)));
  const int64_t wanted = options.check_tokens > 0 ? options.check_tokens : affordable;
  const int64_t count = std::min(tokens, wanted);
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back(i * tokens / count);
  return chosen;
}

/// One rank's run: its state between set-up and results.
class Job {
 public:
  Job(const RunOptions& options, const Communicator& comm, Watch& watch)
      : options_(options),
        comm_(comm),
        watch_(watch),
        setup_(set_up_run(options, comm, watch)),
        log_(&watch, setup_.steps * std::max<int64_t>(1, setup_.config.num_layers),
             !options.trace.empty()),
        planning_({.planning = options.planning,
                   .depth = narrow<int>(options.plan_depth, "--plan-depth")}),
        planner_(*setup_.geometry, *setup_.router, *setup_.stream, setup_.split, planning_,
                 JobRanks{comm, *setup_.topology, watch}, log_),
        checked_(options.check ? tokens_to_check(options, setup_) : std::vector<int64_t>{}),
        expert_counts_(setup_.geometry->num_layers() * setup_.geometry->num_experts()) {}

  void print_start() const {
    if (comm_.rank() != 0) return;
    const ModelConfig& config = setup_.config;
    std::ostringstream nodes;
    nodes << setup_.topology->nodes;
    std::printf("hashep %s: %d rank%s x %d thread%s, %s, transport %s%s, %s\n",
                std::string(version()).c_str(), comm_.size(), comm_.size() == 1 ? "" : "s",
                setup_.threads.threads, setup_.threads.threads == 1 ? "" : "s", nodes.str().c_str(),
                std::string(setup_.runner->transport()).c_str(),
                options_.transport == TransportKind::automatic ? " (auto)" : "",
                std::string(setup_.runner->implementation()).c_str());
    std::printf("threads: %d a rank (%s)\n", setup_.threads.threads, setup_.threads.why.c_str());
    if (const auto gpu = setup_.runner->gpu()) std::printf("device: %s\n", gpu->c_str());
    std::fputs(binding_lines(setup_.device.bindings).c_str(), stdout);
    if (!setup_.device.choice.why_cpu.empty()) {
      std::printf("device: the CPU, as %s\n", setup_.device.choice.why_cpu.c_str());
    }
    std::printf("model: %lld layers, d %lld, f %lld, %lld experts, top %d, %lld shared, %s, %s\n",
                static_cast<long long>(config.num_layers),
                static_cast<long long>(config.hidden_size), static_cast<long long>(config.ffn_size),
                static_cast<long long>(config.num_experts), config.top_k,
                static_cast<long long>(config.num_shared_experts),
                std::string(activation_name(config.activation)).c_str(),
                std::string(dtype_name(setup_.dtype)).c_str());
    if (setup_.config.gate) std::printf("routing: %s\n", setup_.model.routing.c_str());
    std::fputs(model_lines(setup_.model).c_str(), stdout);
    std::printf("tokens: %lld a step, sequences of %lld, %lld steps%s\n",
                static_cast<long long>(setup_.split.batch_tokens),
                static_cast<long long>(setup_.split.seq_len), static_cast<long long>(setup_.steps),
                passes_text().c_str());
    const std::string& path = options_.tokens.path;
    const std::string note =
        path.empty() ? "" : repetition_note(*setup_.stream, path, setup_.split.batch_tokens);
    if (!note.empty()) std::printf("note: %s\n", note.c_str());
    flush_stdout();
  }

  void run_steps() {
    Progress progress(comm_.rank() == 0 ? options_.progress : Progress::Style::off, setup_.steps,
                      setup_.split.batch_tokens);
    watch_.barrier();
    log_.set_origin();
    const auto begin = Clock::now();
    log_.set_step(0);
    planner_.begin();
    // Which experts are held follows from what is known of the batches to come.
    if (options_.weight_memory > 0) planner_.begin_ahead(-1, setup_.steps);
    for (int64_t step = 0; step < setup_.steps; ++step) {
      log_.set_step(step);
      if (step > 0 && options_.plan_depth == 0) planner_.begin();
      BatchPlan& plan = planner_.take();
      setup_.runner->prepare(plan);
      expect_batches(step, plan);
      planner_.begin_ahead(step, setup_.steps);
      const bool is_checked = step == 0 && options_.check;
      if (is_checked) setup_.runner->record(&checked_);
      run_step(plan);
      note(plan);
      if (is_checked) check(plan);
      progress.update(step + 1);
    }
    setup_.runner->finish(log_);
    stats_.loop_s = seconds_since(begin) - check_s_;
  }

  void report(const std::vector<std::string>& args) {
    watch_.at({Phase::output, -1, -1});
    if (!options_.output.empty()) {
      write_hidden_states(comm_, setup_.split.batch_tokens, setup_.runner->output(),
                          *setup_.output);
    }
    if (!options_.trace.empty()) {
      write_chrome_trace(comm_, watch_, log_, setup_.trace ? &*setup_.trace : nullptr);
    }
    const RunDescription description = describe(args);
    finish_stats();
    const RunResult result = gather_result(comm_, watch_, log_, stats_, description);
    if (comm_.rank() != 0) return;
    if (setup_.json) {
      setup_.json->write(result_json(result, description));
      setup_.json->commit();
    }
    std::fputs(result_table(result).c_str(), stdout);
  }

 private:
  using Clock = std::chrono::steady_clock;

  static double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  /// Tells which weights this and further batches need: those that were begun before this step.
  void expect_batches(int64_t step, const BatchPlan& plan) {
    if (options_.weight_memory == 0) return;
    if (expected_ == step) setup_.runner->expect(plan);
    for (expected_ = std::max(expected_, step + 1); expected_ < planner_.begun(); ++expected_) {
      setup_.runner->expect(planner_.look_at(expected_));
    }
  }

  void run_step(BatchPlan& plan) {
    const int64_t collectives_before = watch_.collectives();
    setup_.runner->run(plan, log_);
    stats_.collectives_in_step =
        std::max(stats_.collectives_in_step, watch_.collectives() - collectives_before);
  }

  /// How often the token file is gone through, where that is more than once.
  std::string passes_text() const {
    const int64_t tokens = setup_.split.batch_tokens * setup_.steps;
    const int64_t size = setup_.stream->size().value_or(tokens);
    if (size >= tokens) return "";
    return format(", the token file %.2f times",
                  static_cast<double>(tokens) / static_cast<double>(size));
  }

  /// Adds a step to the statistics.
  void note(const BatchPlan& plan) {
    const int64_t row_bytes = setup_.config.hidden_size * dtype_size(setup_.dtype);
    int64_t held = 0;
    for (const ExchangePlan& layer : plan.layers) {
      stats_.bytes_sent += (rows_sent_off_rank(layer) + rows_received_off_rank(layer)) * row_bytes;
      held += plan_bytes(layer);
    }
    stats_.memory.plans =
        std::max(stats_.memory.plans, planner_.slots() * held + planner_.buffer_bytes());
    for (size_t i = 0; i < expert_counts_.size(); ++i) expert_counts_[i] += plan.expert_counts[i];
  }

  /// The first step's result against the oracle. Throws CollectiveRunError where rounding does not
  /// explain a difference.
  void check(const BatchPlan& plan) {
    const auto begin = Clock::now();
    const bool is_grouped = setup_.device.choice.device == Device::cuda &&
                            options_.expert_gemm == GemmGrouping::grouped;
    const OracleOptions oracle{
        .numbers = {.dtype = setup_.dtype, .rounds_preactivations = is_grouped},
        .residual = setup_.residual,
        .node_reduce = setup_.geometry->node_reduce()};
    setup_.runner->record(nullptr);
    setup_.runner->finish(log_);
    if (checked_.states().empty()) {
      checked_.add(setup_.input_rows());
      checked_.add(setup_.runner->output());
    }
    const auto difference =
        compare_with_oracle(setup_.config, *setup_.weights, plan, checked_, oracle);
    const auto tokens = checked_.tokens();
    agree(comm_, watch_, [&] {
      if (difference.is_explained()) return;
      const int64_t token = setup_.rows().begin + tokens[difference.row];
      throw RunError("check failed: token " + std::to_string(token) + ": " + difference.text());
    });
    const auto most = reduce_max(
        comm_, watch_,
        std::vector{difference.relative_error, difference.relative_bound, difference.share});
    stats_.check = {.tokens = reduce_sum(comm_, watch_, static_cast<int64_t>(tokens.size())),
                    .max_relative_error = most[0],
                    .bound = most[1],
                    .max_share = most[2]};
    check_s_ = seconds_since(begin);
  }

  void finish_stats() {
    stats_.steps = setup_.steps;
    stats_.batch_tokens = setup_.split.batch_tokens;
    stats_.planning_exchanges = planner_.exchanges();
    const auto num_experts = static_cast<size_t>(setup_.config.num_experts);
    for (size_t layer = 0; num_experts > 0 && layer < setup_.geometry->placements().size();
         ++layer) {
      const auto counts = std::span(expert_counts_).subspan(layer * num_experts, num_experts);
      const LoadFactors load = load_factors(counts, setup_.geometry->placements()[layer]);
      stats_.expert_max_over_mean =
          std::max(stats_.expert_max_over_mean, load.expert_max_over_mean);
      stats_.rank_max_over_mean = std::max(stats_.rank_max_over_mean, load.rank_max_over_mean);
    }
    const RunnerMemory memory = setup_.runner->memory();
    stats_.streaming = setup_.runner->streaming();
    stats_.memory.on_gpu = setup_.device.choice.device == Device::cuda;
    stats_.memory.weights = memory.weights;
    stats_.memory.scratch = memory.scratch;
    stats_.memory.workspace = memory.workspace;
    stats_.memory.row_buffers = memory.row_buffers;
    stats_.memory.shared_rows = memory.shared_rows;
    stats_.memory.gpu_plans = memory.plans;
    if (!stats_.memory.on_gpu) stats_.memory.workspace += setup_.input.capacity();
    stats_.memory.peak_rss = peak_rss_bytes();
  }

  RunDescription describe(const std::vector<std::string>& args) {
    const int64_t sent = reduce_max(comm_, watch_, stats_.bytes_sent / setup_.steps);
    const ModelConfig& config = setup_.config;
    return {.row = {.name = "",
                    .transport = std::string(setup_.runner->transport()),
                    .device = std::string(setup_.runner->device()),
                    .dtype = std::string(dtype_name(setup_.dtype)),
                    .workload = options_.tokens.path.empty() ? "zipf" : "tokens",
                    .tokens_per_rank = setup_.split.batch_tokens / comm_.size(),
                    .hidden_size = config.hidden_size,
                    .ffn_size = config.ffn_size,
                    .num_experts = config.num_experts,
                    .top_k = config.top_k,
                    .bytes_off_rank = sent,
                    .samples_us = {},
                    .wrong = std::nullopt},
            .head = {.program = "hashep run",
                     .args = args,
                     .ranks = comm_.size(),
                     .gpu = setup_.runner->gpu(),
                     .mpi = MpiSession::library_version()},
            .threads = setup_.threads,
            .implementation = std::string(setup_.runner->implementation()),
            .bindings = setup_.device.bindings,
            .model = setup_.model};
  }

  const RunOptions& options_;
  const Communicator& comm_;
  Watch& watch_;
  RunSetup setup_;
  PhaseLog log_;
  PlanningOptions planning_;
  StreamPlanner planner_;
  LayerStates checked_;
  std::vector<int64_t> expert_counts_;  // [num_layers, num_experts], summed over steps
  RunStats stats_;
  double check_s_ = 0.0;  // of the loop, for --check
  int64_t expected_ = 0;  // batches whose weights the runner was told of
};

}  // namespace

void run_job(const RunOptions& options, const std::vector<std::string>& args,
             const Communicator& comm, Watch& watch) {
  // Outlives the report, as exchanges that are pending write to it.
  std::optional<Job> job;
  settle_reporter(watch, [&] {
    job.emplace(options, comm, watch);
    job->print_start();
    job->run_steps();
    job->report(args);
  });
}

}  // namespace hashep
