// SPDX-License-Identifier: Apache-2.0
// Planning ahead and in each layer: the same bits, and how many exchanges each way takes.
#include "benchmarks/layer_steps.hpp"

#include <cstring>

#include "core/random.hpp"
#include "runtime/layer/backend_factory.hpp"
#include "runtime/model/synthetic_weights.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/collective_count.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

constexpr int64_t kTokens = 24;
constexpr int64_t kHiddenSize = 16;
constexpr int64_t kBatches = 3;

ModelConfig small_config(int64_t num_layers) {
  ModelConfig config;
  config.num_layers = num_layers;
  config.hidden_size = kHiddenSize;
  config.ffn_size = 24;
  config.num_experts = 10;
  config.top_k = 2;
  config.vocab_size = 512;
  return config;
}

/// What some batches give and take.
struct Run {
  std::vector<std::vector<float>> results;  // of each batch, [tokens, hidden_size]
  std::vector<int64_t> exchanges;           // of counts, begun during each batch
  std::vector<double> route_us;             // of the one sample
  int64_t rows_received = 0;
};

Run run_batches(PlanWhen when, const ModelConfig& config, const Workload& workload,
                Transport& transport, test::Ranks& ranks, const Topology& apart) {
  const auto weights = make_synthetic_weights(config, DType::f32, 1);
  LayerStack stack(config, *weights, workload.placements(), ranks.comm.rank(), false, {},
                   transport);
  std::vector<float> input(kTokens * kHiddenSize);
  fill_normal(1, ranks.comm.rank() * kTokens * kHiddenSize, input);
  std::vector<float> state(input.size());
  std::vector<float> output(input.size());
  const auto view = [](std::vector<float>& values) {
    return MatrixView{reinterpret_cast<std::byte*>(values.data()), DType::f32, kTokens,
                      kHiddenSize};
  };
  LayerSteps steps(when, workload, workload.split(kTokens), stack,
                   {view(input), view(state), view(output)}, 1, false,
                   {ranks.comm, apart, ranks.watch});
  Run run;
  for (int64_t batch = 0; batch < kBatches; ++batch) {
    if (when == PlanWhen::at_hand) steps.begin_sample();
    const int64_t before = test::collective_counts()["MPI_Iallgatherv"];
    steps.run();
    run.exchanges.push_back(test::collective_counts()["MPI_Iallgatherv"] - before);
    run.results.push_back(state);
    run.rows_received += steps.plan().layers.back().total_recv();
    CHECK(steps.plan().step == batch);
  }
  steps.end_samples();
  run.route_us = steps.newest(Phase::route, 1);
  steps.finish();
  return run;
}

}  // namespace

TEST_CASE("plans made in each layer give the bits of plans made ahead, at an exchange a layer") {
  test::Ranks ranks;
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  // Planning takes each rank for a node, so that counts cross by MPI, where that sees them.
  const Topology apart = topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank());
  const int64_t exchange = ranks.comm.size() > 1 ? 1 : 0;
  for (const int64_t num_layers : {1, 3}) {
    const ModelConfig config = small_config(num_layers);
    RankOptions options;
    options.num_layers = num_layers;
    options.num_experts = config.num_experts;
    options.top_k = config.top_k;
    options.workload.vocab_size = config.vocab_size;
    options.tokens_per_rank = kTokens;
    options.workload.name = "zipf";
    const Workload workload(options, topology.nodes, ranks.comm.rank());
    for (const auto kind : {TransportKind::mpi, TransportKind::shm, TransportKind::hier}) {
      INFO(transport_name(kind) << ", " << num_layers << " layers");
      const auto transport = make_transport(kind, ranks.comm, topology, ranks.watch, 1);
      const auto run = [&](PlanWhen when) {
        return run_batches(when, config, workload, *transport, ranks, apart);
      };
      run(PlanWhen::ahead);  // ranks meet to make room for rows, by exchanges that are not counted
      const Run ahead = run(PlanWhen::ahead);
      const Run in_layer = run(PlanWhen::in_layer);
      const Run at_hand = run(PlanWhen::at_hand);
      CHECK(ahead.rows_received > 0);
      CHECK(in_layer.rows_received == ahead.rows_received);
      CHECK(ahead.results.front() != ahead.results.back());  // batches differ
      CHECK(in_layer.results == ahead.results);
      CHECK(at_hand.results == ahead.results);
      CHECK(ahead.exchanges == std::vector<int64_t>(kBatches, exchange));
      CHECK(in_layer.exchanges == std::vector<int64_t>(kBatches, exchange * num_layers));
      CHECK(at_hand.exchanges == std::vector<int64_t>(kBatches, 0));
      CHECK(ahead.route_us.size() == 1);
      CHECK(in_layer.route_us.size() == 1);
      CHECK(at_hand.route_us.empty());
    }
  }
}
