// SPDX-License-Identifier: Apache-2.0
// Each rank knows its own tokens alone: what the planning exchange finds out, and what all ranks
// meet where one goes wrong.
#include <algorithm>

#include "comm/agreement.hpp"
#include "hashep/hash_router.hpp"
#include "runtime/layer/backend_factory.hpp"
#include "runtime/layer/layer_planner.hpp"
#include "runtime/layer/planner.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/collective_count.hpp"
#include "tests/support/local_stack.hpp"
#include "tests/support/odd_router.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

namespace {

constexpr int64_t kVocabSize = 50;

/// Some ways to hold `tokens` tokens, empty ranks included.
std::vector<std::vector<int64_t>> splits_of(int64_t tokens, int ep_size) {
  const auto ranks = static_cast<size_t>(ep_size);
  std::vector<std::vector<int64_t>> splits;
  for (size_t all = 0; all < ranks; ++all) {  // all on one rank
    splits.emplace_back(ranks);
    splits.back()[all] = tokens;
  }
  splits.emplace_back(ranks);  // 0, 1, 2 ..., the rest on the last
  for (size_t rank = 0; rank < ranks; ++rank) {
    splits.back()[rank] = static_cast<int64_t>(rank);
    tokens -= static_cast<int64_t>(rank);
  }
  splits.back().back() += tokens;
  return splits;
}

std::vector<int32_t> some_ids(int64_t count) {
  std::vector<int32_t> ids(count);
  make_zipf_stream(kVocabSize, 0.5, 7)->read(0, ids);
  return ids;
}

struct Job {
  explicit Job(int ep_size)
      : geometry(std::vector(3, contiguous_placement(10, ep_size)), 2),
        router({.vocab_size = kVocabSize, .seed = 1}) {}
  StackGeometry geometry;
  HashRouter router;
  std::vector<int32_t> ids = some_ids(40);

  TokenBatch tokens(int64_t count) const { return {.ids = std::span(ids).first(count)}; }
};

int64_t gathers() {
  return test::collective_counts()["MPI_Iallgatherv"];
}

int64_t all_collectives() {
  int64_t sum = 0;
  for (const auto& [name, count] : test::collective_counts()) sum += count;
  return sum;
}

/// Gives the same experts as a router, when the layer is reached.
class InLayer final : public AssignmentSource {
 public:
  InLayer(const Router& router, const TokenBatch& batch, int64_t fails_at)
      : router_(router), batch_(batch), fails_at_(fails_at) {}
  void assign(const RoutedLayer& layer, std::span<int32_t> experts) override {
    if (layer.layer == fails_at_) throw InputError("no gate");
    router_.route(batch_, layer, experts);
  }

 private:
  const Router& router_;
  TokenBatch batch_;
  int64_t fails_at_;
};

}  // namespace

TEST_CASE("ranks that hold other parts of the same batch find its place, its plans and its bits") {
  test::Ranks ranks;
  const int ep_size = ranks.comm.size();
  const int rank = ranks.comm.rank();
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  const std::vector<test::StackCase> cases = test::stack_cases();
  int64_t rows = 0;
  for (size_t i = 0; i < cases.size(); i += 3) {
    const test::StackCase& c = cases[i];
    const auto alone = test::run_stack_locally(c, 1);
    const auto stream = test::stack_stream(c);
    const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(ep_size)});
    StreamBatch whole;
    read_batch(*stream, {.batch_tokens = c.batch_tokens, .seq_len = c.seq_len}, 0, whole);
    const auto transport =
        make_transport(TransportKind::mpi, ranks.comm, topology, ranks.watch, c.threads);
    Planner planner(routing.geometry, *routing.router, {ranks.comm, topology, ranks.watch});
    for (const std::vector<int64_t>& split : splits_of(c.batch_tokens, ep_size)) {
      INFO(c.name() << ", rank 0 has " << split.front());
      const std::vector<TokenBatch> parts = test::cut_batch(whole, split);
      const int64_t before = all_collectives();
      const Ticket ticket = planner.submit(parts[rank]);
      const BatchPlan& plan = planner.wait(ticket);
      CHECK(all_collectives() - before == (topology.nodes.num_nodes() > 1 ? 1 : 0));
      BatchPlan expected = plan_batch(routing.geometry, *routing.router, parts, rank);
      CHECK(plan.layers == expected.layers);
      CHECK(plan.tokens == split[rank]);
      CHECK(plan.first_token == expected.first_token);
      CHECK(plan.global_tokens == c.batch_tokens);
      CHECK(plan.expert_counts == expected.expert_counts);
      CHECK(plan.counts_digest == expected.counts_digest);
      rows += plan.layers.front().total_recv();
      const auto mine = test::run_plan(c, routing.geometry, plan, *transport, rank);
      const auto row_bytes = static_cast<size_t>(c.config.hidden_size * dtype_size(c.dtype));
      CHECK(mine.size() == static_cast<size_t>(plan.tokens) * row_bytes);
      const auto same =
          std::span(alone).subspan(static_cast<size_t>(plan.first_token) * row_bytes, mine.size());
      CHECK(std::ranges::equal(mine, same));
      planner.release(ticket);
    }
    CHECK(planner.slots() == 1);
  }
  CHECK(rows > 0);
}

TEST_CASE("batches in flight: one exchange each, waited for in any order, by few or many buffers") {
  test::Ranks ranks;
  const Topology apart = topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank());
  const int64_t exchange = ranks.comm.size() > 1 ? 1 : 0;
  const int rank = ranks.comm.rank();
  const Job job(ranks.comm.size());
  for (const int exchanges : {1, 2, 8}) {
    INFO(exchanges << " at once");
    Planner planner(job.geometry, job.router, {ranks.comm, apart, ranks.watch}, exchanges);
    const int64_t before = all_collectives();
    std::vector<Ticket> tickets;
    for (int64_t i = 0; i < 6; ++i) {
      tickets.push_back(planner.submit(job.tokens(i == 3 ? 0 : i + 2 * rank)));
    }
    if (rank == 0) planner.release(tickets[2]);  // others may still want it
    CHECK(planner.in_flight() == (rank == 0 ? 5 : 6));
    const int ranks_before = rank * (rank - 1) / 2;
    for (const size_t i : {4u, 0u, 5u, 3u, 1u}) {
      const BatchPlan& plan = planner.wait(tickets[i]);
      const auto number = static_cast<int64_t>(i);
      CHECK(plan.step == number);
      CHECK(plan.tokens == (i == 3 ? 0 : number + 2 * rank));
      CHECK(plan.first_token == (i == 3 ? 0 : number * rank + 2 * ranks_before));
      CHECK(plan.layers.size() == 3);
      CHECK(plan.layers.back().tokens == plan.tokens);
    }
    CHECK(all_collectives() - before == 6 * exchange);
    CHECK(planner.exchanges() == 6);
    if (rank == 0) {
      CHECK_THROWS_AS(planner.wait(tickets[2]), RunError);
    } else {
      CHECK(planner.wait(tickets[2]).tokens == 2 + 2 * rank);
    }
    for (const Ticket& ticket : tickets) planner.release(ticket);
    CHECK(planner.in_flight() == 0);
    planner.release(planner.submit(job.tokens(1)));
    CHECK(planner.slots() <= 6);
  }
}

TEST_CASE("a bad id on one rank is met by all, and the batches around it are as they were") {
  test::Ranks ranks;
  const Topology apart = topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank());
  const int64_t exchange = ranks.comm.size() > 1 ? 1 : 0;
  const int rank = ranks.comm.rank();
  const int bad_rank = ranks.comm.size() - 1;
  const Job job(ranks.comm.size());
  Planner planner(job.geometry, job.router, {ranks.comm, apart, ranks.watch}, 2);
  const std::vector<int32_t> bad_ids = {1, 2, 77};
  const int64_t before = gathers();
  const Ticket first = planner.submit(job.tokens(5));
  const Ticket bad = planner.submit(rank == bad_rank ? TokenBatch{.ids = bad_ids} : job.tokens(7));
  const Ticket last = planner.submit(job.tokens(9));
  try {
    planner.wait(bad);
    FAIL("not refused");
  } catch (const CollectiveInputError& error) {
    const std::string text = rank == bad_rank ? "token 2 has id 77, outside [0, 50)"
                                              : "rank " + std::to_string(bad_rank) +
                                                    " could not give its tokens their experts";
    CHECK(error.what() == text);
    CHECK(error.is_reporter() == (rank == bad_rank));
  }
  CHECK(planner.in_flight() == 2);
  CHECK(planner.wait(first).global_tokens == 5 * ranks.comm.size());
  CHECK(planner.wait(last).global_tokens == 9 * ranks.comm.size());
  const Ticket next = planner.submit(job.tokens(3));
  CHECK(planner.wait(next).global_tokens == 3 * ranks.comm.size());
  CHECK(gathers() - before == 4 * exchange);

  // A batch that one rank could not make at all, and a router that fails on one rank.
  const Ticket none =
      rank == bad_rank ? planner.submit_error("the file ended") : planner.submit(job.tokens(1));
  CHECK_THROWS_AS(planner.wait(none), CollectiveInputError);
  const test::OddRouter odd(rank == bad_rank ? test::OddRouter::Oddity::throws
                                             : test::OddRouter::Oddity::none);
  Planner other(job.geometry, odd, {ranks.comm, apart, ranks.watch});
  const Ticket failed = other.submit(job.tokens(4));
  const Ticket empty = other.submit(job.tokens(0));
  CHECK_THROWS_AS(other.wait(failed), CollectiveRunError);
  CHECK(other.wait(empty).global_tokens == 0);
}

TEST_CASE("assignments that come in the layer are planned as those that come ahead") {
  test::Ranks ranks;
  const Topology apart = topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank());
  const int64_t exchange = ranks.comm.size() > 1 ? 1 : 0;
  const int rank = ranks.comm.rank();
  const Job job(ranks.comm.size());
  const TokenBatch tokens = job.tokens(4 + 3 * rank);
  PhaseLog log(&ranks.watch, 16, false);
  Planner ahead(job.geometry, job.router, {ranks.comm, apart, ranks.watch});
  const BatchPlan& expected = ahead.wait(ahead.submit(tokens));
  LayerPlanner in_layer(job.geometry, {ranks.comm, apart, ranks.watch});
  for (const int64_t fails_at : {-1, 1, -1}) {
    BatchPlan plan;
    plan.tokens = std::ssize(tokens.ids);
    InLayer source(job.router, tokens, rank == 0 ? fails_at : -1);
    for (int64_t layer = 0; layer < 3; ++layer) {
      const int64_t before = all_collectives();
      if (layer == fails_at) {
        CHECK_THROWS_AS(in_layer.plan_layer(layer, source, plan, log), CollectiveInputError);
        break;
      }
      in_layer.plan_layer(layer, source, plan, log);
      CHECK(all_collectives() - before == exchange);
      const auto index = static_cast<size_t>(layer);
      CHECK(plan.layers[index] == expected.layers[index]);
      CHECK(plan.first_token == expected.first_token);
      CHECK(plan.global_tokens == expected.global_tokens);
    }
  }
}
