// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/predict_job.hpp"

#include <nlohmann/json.hpp>

#include "hashep/error.hpp"
#include "tests/benchmarks/model/profile_case.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

PredictOptions small_job(std::vector<int64_t> ranks) {
  PredictOptions options;
  options.ranks = std::move(ranks);
  options.machine = "round.json";
  options.tokens_per_rank = 30;
  options.hidden_size = 8;
  options.ffn_size = 4;
  options.num_experts = 12;
  options.top_k = 3;
  options.routing.workload.vocab_size = 50;
  options.routing.workload.name = "zipf";
  return options;
}

}  // namespace

TEST_CASE("one rank takes the sum of two copies and its experts") {
  const MachineProfile profile = test::round_profile();
  const PredictOptions options = small_job({1});
  const auto predicted = predict(options, profile, 1);
  REQUIRE(predicted.size() == 2);
  const RoutedJob job(options.routing, {.batch_tokens = 30, .num_experts = 12, .top_k = 3});
  double experts = 0.0;
  for (const int64_t rows : job.count_flows(1).expert_rows) {
    if (rows == 0) continue;
    const auto count = static_cast<double>(rows);
    experts += count * 6 * 8 * 4 / gemm_speed(profile, DType::f32, count);
  }
  const double copies = 2 * (1 + (30 + 90) * 8 * 4 / 100.0);
  CHECK(experts > 0.0);
  for (const Prediction& each : predicted) {
    CHECK(each.transport == "local");
    CHECK(each.cost.layer() == Approx(copies + experts));
    CHECK(each.efficiency() == Approx(1.0));
  }
}

TEST_CASE("a small job is predicted from the plans of all its ranks") {
  const MachineProfile profile = test::round_profile();
  PredictOptions options = small_job({4});
  options.transport = "mpi";
  options.scaling = "weak";
  const auto predicted = predict(options, profile, 2);
  REQUIRE(predicted.size() == 1);

  const RoutedJob job(
      options.routing,
      {.batch_tokens = 120, .num_experts = 12, .top_k = 3, .ranks = 4, .ranks_per_node = 2});
  std::vector<StreamBatch> batches(4);
  std::vector<TokenBatch> views;
  for (int rank = 0; rank < 4; ++rank) {
    read_batch(job.stream(), job.split(rank), 0, batches[rank]);
    views.push_back(batches[rank].view());
  }
  double slowest = 0.0;
  for (int rank = 0; rank < 4; ++rank) {
    const ExchangePlan plan = plan_batch(job.geometry(), job.router(), views, rank).layers.front();
    const int near = rank ^ 1;
    const auto rows = [&](const std::vector<int64_t>& counts, int other) {
      return static_cast<double>(counts[other]);
    };
    const int far = rank < 2 ? 2 : 0;
    const double far_rows = std::max(rows(plan.send_counts, far) + rows(plan.send_counts, far + 1),
                                     rows(plan.recv_counts, far) + rows(plan.recv_counts, far + 1));
    const double near_rows = std::max(rows(plan.send_counts, near), rows(plan.recv_counts, near));
    const double permuted = 30.0 + 90.0 + 2.0 * static_cast<double>(plan.total_recv());
    slowest = std::max(slowest, 32.0 * (permuted / 50 + near_rows / 10 + far_rows / 1 +
                                        2 * rows(plan.send_counts, rank) / 100) +
                                    1 + 3 + 2 * 5);
  }
  CHECK(predicted[0].cost.dispatch == Approx(slowest));
  CHECK(predicted[0].cost.combine == Approx(slowest));
}

TEST_CASE("faster links and fewer tokens never make a job slower") {
  const MachineProfile profile = test::round_profile();
  for (const char* transport : {"hier", "mpi"}) {
    PredictOptions options = small_job({2, 4, 6});
    options.transport = transport;
    const auto slow = predict(options, profile, 1);
    for (const Level level : kLevels) {
      MachineProfile faster = profile;
      faster.at(level).bytes_per_s *= 3.0;
      const auto fast = predict(options, faster, 1);
      for (size_t i = 0; i < slow.size(); ++i) {
        CHECK(fast[i].cost.layer() <= slow[i].cost.layer());
      }
    }
    options.tokens_per_rank = 15;
    const auto fewer = predict(options, profile, 1);
    for (size_t i = 0; i < slow.size(); ++i) {
      CHECK(fewer[i].cost.layer() < slow[i].cost.layer());
    }
  }
}

TEST_CASE("rows of a prediction hold the band, and losses that add up") {
  MachineProfile profile = test::round_profile();
  profile.band = {0.5, 2.0, "test"};
  PredictOptions options = small_job({2, 8});
  options.num_shared_experts = 1;
  const auto rows = prediction_rows(predict(options, profile, 1), options, profile);
  REQUIRE(rows.size() == 2 * 2 * 4);
  for (const auto& row : rows) {
    const double predicted = row["predicted_us"];
    CHECK(row["name"] == "predicted");
    CHECK(row["low_us"].get<double>() == Approx(0.5 * predicted));
    CHECK(row["high_us"].get<double>() == Approx(2.0 * predicted));
    if (row["of"] != "layer") continue;
    double parts = 0.0;
    for (const auto& part : row["parts_us"]) parts += part.get<double>();
    CHECK(parts == Approx(predicted));
    double loss = 0.0;
    for (const auto& share : row["loss"]) loss += share.get<double>();
    CHECK(loss == Approx(1.0 - row["efficiency"].get<double>()));
  }
  CHECK(rows[0]["transport"] == "shm");
  CHECK(rows[0]["efficiency"] == Approx(1.0));  // the smallest number of ranks is the base
  CHECK(rows[0]["base_ranks"] == 2);
  CHECK(rows[8]["efficiency"] == Approx(1.0));
  CHECK(rows[4]["transport"] == "hier");
  CHECK(rows[4]["tokens_per_rank"] == 30);
  // Between nodes rows go once, results come back for each choice.
  CHECK(rows[5]["of"] == "dispatch");
  CHECK(rows[7]["of"] == "combine");
  CHECK(rows[7]["predicted_us"] > rows[5]["predicted_us"]);
  CHECK(rows[12]["scaling"] == "strong");
  CHECK(rows[12]["tokens_per_rank"] == 7);  // 60 tokens on 8 ranks
}

TEST_CASE(
    "efficiency is relative to the base: the smallest number of ranks, or one that is named") {
  const MachineProfile profile = test::round_profile();
  PredictOptions options = small_job({4, 2, 8});
  const auto time = [](const Prediction& each) { return each.cost.layer(); };
  const auto smallest = predict(options, profile, 1);
  REQUIRE(smallest.size() == 6);  // weak, then strong
  CHECK(smallest[1].efficiency() == Approx(1.0));
  CHECK(smallest[0].efficiency() == Approx(time(smallest[1]) / time(smallest[0])));
  CHECK(smallest[5].efficiency() == Approx(time(smallest[4]) / time(smallest[5]) / 4.0));
  options.base_ranks = 4;
  const auto named = predict(options, profile, 1);
  for (size_t i = 0; i < named.size(); ++i) {
    CHECK(named[i].base_ranks == 4);
    CHECK(time(named[i]) == time(smallest[i]));
  }
  CHECK(named[0].efficiency() == Approx(1.0));
  CHECK(named[1].efficiency() == Approx(time(named[0]) / time(named[1])));
  CHECK(named[5].efficiency() == Approx(time(named[3]) / time(named[5]) / 2.0));
  options.ranks = {2, 8};  // the base need not be among them
  CHECK(predict(options, profile, 1)[0].efficiency() == Approx(named[1].efficiency()));
  CHECK_THAT(prediction_table(named, profile), ContainsSubstring("100 % is the time of 4 ranks"));
  options.base_ranks = 1 << 20;
  CHECK_THROWS_WITH(validate(options), ContainsSubstring("--base-ranks 1048576: at most"));
}

TEST_CASE("experts may grow with ranks, and predictions that make no sense are refused") {
  const MachineProfile profile = test::round_profile();
  PredictOptions options = small_job({2, 4});
  options.experts_per_rank = 2;
  const auto predicted = predict(options, profile, 1);
  CHECK(predicted[0].num_experts == 4);
  CHECK(predicted[1].num_experts == 8);
  options.transport = "shm";
  CHECK_THROWS_WITH(predict(options, profile, 1), "--transport shm: 4 ranks do not share a node");
  options = small_job({1});
  options.transport = "alltoallv";
  CHECK_THROWS_AS(validate(options), InputError);
  options = small_job({1 << 20});
  CHECK_THROWS_AS(validate(options), InputError);
  options = small_job({});
  CHECK_THROWS_AS(validate(options), InputError);
}
