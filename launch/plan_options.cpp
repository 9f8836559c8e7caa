// SPDX-License-Identifier: Apache-2.0
#include "launch/plan_options.hpp"

#include <array>

#include "hashep/error.hpp"

namespace hashep {
namespace {

// Bounds that keep every product of sizes within int64.
constexpr int64_t kMaxTokensPerRank = int64_t{1} << 20;
constexpr int64_t kMaxSteps = int64_t{1} << 16;

/// Of describe_experts: no row's way depends on them.
constexpr std::array kExpertOptions = {"--ffn-size",   "--num-shared-experts",
                                       "--activation", "--swiglu-limit",
                                       "--score",      "--routed-scaling-factor"};

}  // namespace

std::optional<TrafficUnit> PlanCommandOptions::traffic_unit(int num_nodes) const {
  if (traffic == "rank") return TrafficUnit::rank;
  if (traffic == "node") return TrafficUnit::node;
  if (csv.empty()) return std::nullopt;
  return num_nodes > 1 ? TrafficUnit::node : TrafficUnit::rank;
}

void declare_plan_options(CLI::App& app, PlanCommandOptions& options) {
  declare_static_routing(app, options.routing);
  OptionTable experts(app);
  experts.begin_group(kSyntheticModel);
  describe_experts(experts, options.routing);
  const std::string job = "Jobs (each number of ranks with each number of ranks per node)";
  add_counts(app, "--ranks", options.ranks, kRankLimits, "Ranks")->group(job);
  add_counts(app, "--ranks-per-node", options.ranks_per_node, kRankLimits,
             "Ranks of a node; the last node has what is left")
      ->group(job);
  add_count(app, "--tokens-per-rank", options.tokens_per_rank,
            {.least = 1, .most = kMaxTokensPerRank}, "Tokens of a rank in a step")
      ->group(job);
  add_count(app, "--steps", options.steps, {.least = 1, .most = kMaxSteps}, "Steps")->group(job);
  OptionTable table(app);
  table.begin_group(job);
  describe_placement(table, options.placement);
  app.add_option("--dtype", options.dtype, "fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->group(job);
  app.add_option("--transport", options.transport,
                 "Whose buffers: auto (shm on one node, hier on several) or mpi")
      ->check(CLI::IsMember({"auto", "mpi"}))
      ->group(job);
  app.add_flag("--node-reduce", options.node_reduce,
               "hier: a node's contributions to a token return as one sum")
      ->group(job);
  describe_plan_depth(table, options.plan_depth);
  add_count(app, "--weight-memory", options.weight_memory, {.least = 0},
            "With --model: bytes of a rank for routed experts, as of hashep run; says what is read")
      ->group(job);
  add_count(app, "--disk", options.disk, {.least = 0},
            "With --weight-memory: bytes a second that a rank reads; says how long layers wait")
      ->group(job);
  app.add_option("--gflops", options.gflops,
                 "With --disk: GFLOP/s of a rank's experts, as hashep-bench experts measures them")
      ->group(job);
  app.add_flag("--training", options.training,
               "Say the memory of training too: weights, gradients, AdamW's states, tape")
      ->group(job);
  app.add_flag("--recompute", options.recompute,
               "With --training: pre-activations are computed again instead of kept")
      ->group(job);
  add_count(app, "--threads", options.threads, {.least = 0, .most = 4096},
            "Threads of this command; 0: OMP_NUM_THREADS, else the cores it was granted");
  app.add_option("--traffic", options.traffic,
                 "Show who sends how much to whom: between ranks, or between nodes")
      ->check(CLI::IsMember({"rank", "node"}))
      ->group("Results");
  app.add_option("--json", options.json, "Write the result as JSON")
      ->type_name("FILE")
      ->group("Results");
  app.add_option("--csv", options.csv,
                 "Write the traffic matrix as CSV, for launch/plot_traffic.py")
      ->type_name("FILE")
      ->group("Results");
}

void validate_plan_options(const CLI::App& app, const PlanCommandOptions& options) {
  for (const char* name : kExpertOptions) {
    if (!options.training && app.count(name) > 0) {
      throw InputError(std::string(name) + " goes with --training");
    }
  }
  if (options.weight_memory > 0 && app.count("--model") == 0) {
    throw InputError("--weight-memory goes with --model DIR");
  }
  if (options.weight_memory > 0 && options.training) {
    throw InputError("--weight-memory: weights that are trained are not streamed");
  }
  if (options.disk > 0 && options.weight_memory == 0) {
    throw InputError("--disk goes with --weight-memory");
  }
  if ((options.gflops > 0.0) != (options.disk > 0) || options.gflops < 0.0) {
    throw InputError("--disk and --gflops go together, both above 0");
  }
  if (options.recompute && !options.training) {
    throw InputError("--recompute goes with --training");
  }
  if (options.node_reduce && options.transport == "mpi") {
    throw InputError("--node-reduce goes with --transport auto, not with mpi");
  }
}

}  // namespace hashep
