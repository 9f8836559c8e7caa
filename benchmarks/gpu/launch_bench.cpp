// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/launch_bench.hpp"

#include <array>
#include <chrono>

namespace hashep::bench {
namespace {

/// Steps of one shape, ready to be asked for again and again.
class Launches {
 public:
  Launches(const LayerCase& c, GraphMode graph)
      : plan_(c.plan),
        stack_(c.config, c.weights, c.routing.placements, 0,
               {.dtype = c.sizes.dtype, .residual = true, .graph = graph, .timed = false}) {
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

}  // namespace

std::vector<MeasuredRow> measure_launch(const LayerSizes& sizes, const GpuRun& run) {
  const LayerCase c(sizes);
  Launches direct(c, GraphMode::off);
  Launches replayed(c, GraphMode::on);
  const int64_t wrong = direct.result() == replayed.result() ? 0 : 1;
  std::array<std::vector<double>, 2> samples;
  for (int round = -run.sampling.warmup; round < run.sampling.samples; ++round) {
    const std::array<double, 2> us = {direct.launch_once(), replayed.launch_once()};
    for (size_t i = 0; i < us.size(); ++i) {
      if (round >= 0) samples[i].push_back(us[i]);
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
  return {make_row(here, "launch", samples[0], wrong, "kernel by kernel"),
          make_row(here, "launch_graph", samples[1], wrong, "one graph")};
}

}  // namespace hashep::bench
