// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/launch_bench.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace hashep::bench {
namespace {

/// Steps of one shape, ready to be asked for again and again.
class Launches {
 public:
  Launches(const LayerCase& c, GemmGrouping grouping, GraphMode graph)
      : plan_(c.plan),
        stack_(c.config, c.weights, c.geometry.placements(), 0,
               {.dtype = c.sizes.dtype,
                .residual = true,
                .grouping = grouping,
                .graph = graph,
                .timed = false}) {
    stack_.set_input(c.input());
  }

  std::vector<std::byte> result() {
    launch_once();
    return fetch_result(stack_);
  }

  /// Microseconds that the host spends in asking for one step.
  double launch_once() {
    using Clock = std::chrono::steady_clock;
    ++plan_.step;
    stack_.prepare(plan_);
    const Clock::time_point begin = Clock::now();
    stack_.run(plan_.step);
    const std::chrono::duration<double, std::micro> elapsed = Clock::now() - begin;
    poll_until([&] { return stack_.is_done(plan_.step); }, "a step");
    return elapsed.count();
  }

 private:
  BatchPlan plan_;
  CudaStack stack_;
};

/// One way to ask for a step.
struct Way {
  std::string name;
  std::string note;
  std::unique_ptr<Launches> launches;
  std::vector<double> samples;
};

/// Each with a graph and without; the results of both must be the same to the bit.
std::vector<Way> ways_of(const LayerCase& c) {
  std::vector<Way> ways;
  const auto add = [&](const std::string& name, GemmGrouping grouping) {
    ways.push_back(
        {name, "kernel by kernel", std::make_unique<Launches>(c, grouping, GraphMode::off), {}});
    ways.push_back(
        {name + "_graph", "one graph", std::make_unique<Launches>(c, grouping, GraphMode::on), {}});
  };
  add("launch", GemmGrouping::per_expert);
  if (c.sizes.dtype == DType::bf16 && why_no_fused_gemm() == nullptr) {
    add("launch_fused", GemmGrouping::fused);
  }
  return ways;
}

}  // namespace

std::vector<MeasuredRow> measure_launch(const LayerSizes& sizes, const GpuRun& run) {
  const LayerCase c(sizes);
  std::vector<Way> ways = ways_of(c);
  std::vector<int64_t> wrong;  // of each pair of ways
  for (size_t i = 0; i < ways.size(); i += 2) {
    wrong.push_back(ways[i].launches->result() == ways[i + 1].launches->result() ? 0 : 1);
  }
  for (int round = -run.sampling.warmup; round < run.sampling.samples; ++round) {
    for (Way& way : ways) {
      const double us = way.launches->launch_once();
      if (round >= 0) way.samples.push_back(us);
    }
  }
  GpuRun here = run;
  here.row.dtype = std::string(dtype_name(sizes.dtype));
  here.row.tokens_per_rank = sizes.tokens;
  here.row.hidden_size = sizes.hidden_size;
  here.row.ffn_size = sizes.ffn_size;
  here.row.num_experts = sizes.num_experts;
  here.row.top_k = sizes.top_k;
  here.row.workload = std::to_string(sizes.num_layers) + " layers, host time";
  std::vector<MeasuredRow> rows;
  for (size_t i = 0; i < ways.size(); ++i) {
    rows.push_back(make_row(here, ways[i].name, ways[i].samples, wrong[i / 2], ways[i].note));
  }
  return rows;
}

}  // namespace hashep::bench
