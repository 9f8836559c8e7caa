// SPDX-License-Identifier: Apache-2.0
#include "launch/plan_command.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

#include "core/atomic_file.hpp"
#include "core/narrow.hpp"
#include "core/thread_choice.hpp"
#include "core/units.hpp"
#include "hashep/error.hpp"
#include "launch/peak_rss.hpp"
#include "launch/plan_options.hpp"
#include "launch/plan_report.hpp"
#include "launch/process/result_json.hpp"
#include "launch/process/standard_streams.hpp"
#include "launch/single_process.hpp"
#include "launch/static_routing.hpp"
#include "runtime/layer/stack_placements.hpp"
#include "runtime/layer/stored_experts.hpp"
#include "runtime/model/model_folder.hpp"
#include "runtime/tables/table_loads.hpp"

namespace hashep {
namespace {

constexpr int64_t kMaxTrafficSize = 1024;  // ranks or nodes of a traffic matrix

/// `hashep plan` between its command line and its results.
class JobPlanner {
 public:
  JobPlanner(const CLI::App& app, const PlanCommandOptions& options)
      : options_(options),
        source_(open_static_routing(app, options.routing)),
        threads_(choose_threads(options.threads, "--threads", own_cores())) {}

  const ModelConfig& config() const { return source_.config; }

  /// Of a job of so many ranks; empty where tokens are no file's.
  std::string note(int64_t ranks) const {
    const std::string& path = options_.routing.tokens.path;
    if (path.empty()) return "";
    return repetition_note(*source_.stream, path, ranks * options_.tokens_per_rank);
  }

  const ThreadChoice& threads() const { return threads_; }

  /// Of all batches of a job of so many ranks.
  double bound(int64_t ranks) const {
    const int64_t tokens = ranks * options_.tokens_per_rank * options_.steps;
    return load_bound(count_ids(*source_.stream, config().vocab_size, tokens), config().num_experts,
                      config().top_k);
  }

  PlannedJob plan(int64_t ranks, int64_t ranks_per_node) {
    const auto begin = std::chrono::steady_clock::now();
    const NodeMap nodes = nodes_of_equal_size(narrow<int>(ranks, "--ranks"), ranks_per_node);
    const StackGeometry geometry(
        make_placements(options_.placement, *source_.router, source_.layers, *source_.stream,
                        source_.seq_len, nodes),
        config().top_k, nodes, options_.node_reduce);
    const DType dtype = options_.dtype == "bf16" ? DType::bf16 : DType::f32;
    const bool messages = options_.transport == "mpi";
    PlannedJob job;
    job.ranks = ranks;
    job.ranks_per_node = ranks_per_node;
    job.nodes = nodes.num_nodes();
    job.traffic_unit = options_.traffic_unit(nodes.num_nodes());
    job.row_bytes = config().hidden_size * dtype_size(dtype);
    require_traffic_fits(job);
    job.result = dry_run(geometry, *source_.router, *source_.stream,
                         {.batch_tokens = ranks * options_.tokens_per_rank,
                          .seq_len = source_.seq_len,
                          .steps = options_.steps,
                          .row_bytes = job.row_bytes,
                          .exchange = messages ? RowBuffers::messages : RowBuffers::shared_memory,
                          .plan_depth = narrow<int>(options_.plan_depth, "--plan-depth"),
                          .traffic = job.traffic_unit,
                          .tape = tape_sizes(dtype),
                          .with_uses = options_.weight_memory > 0,
                          .threads = threads_.threads});
    if (options_.training) {
      job.training = training_memory(config(), geometry.placements(), dtype);
    }
    if (options_.weight_memory > 0)
      job.streaming = plan_streaming(geometry, job.result.uses, dtype);
    job.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return job;
  }

 private:
  PlannedStreaming plan_streaming(const StackGeometry& geometry,
                                  const std::vector<std::vector<StepUses>>& uses,
                                  DType dtype) const {
    const ModelFolder weights(options_.routing.model);
    const ModelConfig& model = weights.config();
    const double flops_of_row = 2.0 * static_cast<double>(model.hidden_size * model.ffn_size) *
                                (model.activation == Activation::silu ? 3.0 : 2.0);
    const double flops_per_s = 1e9 * options_.gflops;
    PlannedStreaming planned;
    for (int rank = 0; rank < geometry.ep_size(); ++rank) {
      const std::vector<StoredExpert> experts =
          find_stored_experts(weights, geometry.placements(), rank);
      if (experts.empty()) continue;
      const StreamingBudget budget =
          streaming_budget(model, dtype, GemmLibrary::automatic, experts, options_.weight_memory);
      StreamingJob job;
      job.slots = budget.slots;
      job.spare = budget.spare;
      job.plan_depth = options_.plan_depth;
      for (const StoredExpert& expert : experts) job.read_bytes.push_back(expert.read_bytes);
      if (options_.disk > 0) {
        job.disk_bytes_per_s = static_cast<double>(options_.disk);
        job.seconds_per_row = flops_of_row / flops_per_s;
        planned.hiding_rows =
            static_cast<double>(budget.buffer_bytes) / job.disk_bytes_per_s / job.seconds_per_row;
      }
      const StreamingForecast of_rank = forecast_streaming(uses[rank], job);
      if (budget.slots > planned.budget.slots) planned.budget = budget;
      planned.most_bytes = std::max(planned.most_bytes, of_rank.bytes_read);
      planned.all.uses += of_rank.uses;
      planned.all.loads += of_rank.loads;
      planned.all.least_loads += of_rank.least_loads;
      planned.all.lru_loads += of_rank.lru_loads;
      planned.all.bytes_read += of_rank.bytes_read;
      planned.all.stall_s = std::max(planned.all.stall_s, of_rank.stall_s);
      planned.all.compute_s = std::max(planned.all.compute_s, of_rank.compute_s);
    }
    return planned;
  }

  std::optional<TapeSizes> tape_sizes(DType dtype) const {
    if (!options_.training) return std::nullopt;
    return TapeSizes(config(), dtype, options_.recompute);
  }

  static void require_traffic_fits(const PlannedJob& job) {
    if (!job.traffic_unit) return;
    const bool by_rank = *job.traffic_unit == TrafficUnit::rank;
    const int64_t size = by_rank ? job.ranks : job.nodes;
    if (size <= kMaxTrafficSize) return;
    throw InputError("a traffic matrix of " + std::to_string(size) +
                     (by_rank ? " ranks" : " nodes") + ": at most " +
                     std::to_string(kMaxTrafficSize) +
                     (by_rank ? "; --traffic node sums over nodes" : ""));
  }

  const PlanCommandOptions& options_;
  StaticRouting source_;
  ThreadChoice threads_;
};

void plan_jobs(int argc, char** argv) {
  CLI::App app(
      "Plans jobs of any size in one process, from token ids alone: load, bytes inside and between "
      "nodes, memory of buffers and plans. No MPI, no GPU, no weights. Numbers take K, M, G "
      "(powers of 1024).",
      "hashep plan");
  PlanCommandOptions options;
  declare_plan_options(app, options);
  if (!parse_options(app, argc, argv, 2)) return;
  validate_plan_options(app, options);
  if (options.weight_memory > 0 && app.count("--plan-depth") == 0) {
    options.plan_depth = kPlanDepthOfStreams;
  }
  std::optional<AtomicFile> json;
  std::optional<AtomicFile> csv;
  if (!options.json.empty()) json.emplace(options.json);
  if (!options.csv.empty()) csv.emplace(options.csv);

  JobPlanner planner(app, options);
  if (csv) csv->write(traffic_csv_head());
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  std::string matrices;
  std::string training;
  std::string streaming;
  std::fputs(plan_table_head().c_str(), stdout);
  for (const int64_t ranks : options.ranks) {
    const double bound = planner.bound(ranks);
    for (const int64_t ranks_per_node : options.ranks_per_node) {
      PlannedJob job = planner.plan(ranks, ranks_per_node);
      job.bound = bound;
      std::fputs(plan_table_line(job).c_str(), stdout);
      flush_stdout();
      rows.push_back(plan_row(job, options, planner.config()));
      if (job.training) training += training_line(job);
      if (job.streaming) streaming += streaming_line(job, options.steps);
      if (!options.traffic.empty()) matrices += "\n" + traffic_text(job, options.steps);
      if (csv) csv->write(traffic_csv(job, options.steps));
    }
  }
  if (!training.empty()) std::fputs((training_head() + training).c_str(), stdout);
  if (!streaming.empty()) std::fputs((streaming_head() + streaming).c_str(), stdout);
  const std::string note =
      planner.note(*std::max_element(options.ranks.begin(), options.ranks.end()));
  double seconds = 0.0;
  for (const auto& row : rows) seconds += row["seconds"].get<double>();
  std::printf("%s%s%splanned in %.1f s, peak memory %s, threads %d (%s)\n", matrices.c_str(),
              note.empty() ? "" : "note: ", note.empty() ? "" : (note + "\n").c_str(), seconds,
              format_bytes(peak_rss_bytes()).c_str(), planner.threads().threads,
              planner.threads().why.c_str());
  if (csv) csv->commit();
  if (!json) return;
  const std::vector<std::string> args(argv + 1, argv + argc);
  nlohmann::ordered_json document =
      result_document({"hashep plan", args, 1, std::nullopt, std::nullopt}, std::move(rows));
  document["threads"] = planner.threads().threads;
  document["threads_why"] = planner.threads().why;
  document["peak_rss_bytes"] = peak_rss_bytes();
  json->write(document.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) +
              "\n");
  json->commit();
}

}  // namespace

int plan_command(int argc, char** argv) {
  return run_single_process([&] { plan_jobs(argc, argv); });
}

}  // namespace hashep
