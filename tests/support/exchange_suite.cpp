// SPDX-License-Identifier: Apache-2.0
#include "tests/support/exchange_suite.hpp"

#include "comm/exchange/mpi_transport.hpp"
#include "comm/plan/plan_stats.hpp"
#include "core/random.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/exchange_check.hpp"

namespace hashep::test {
namespace {

constexpr int kGaveUpTag = 77;  // of a message that says that its rank waits no longer

ExchangePlan make_plan_of(const RandomRouting& routing, const Placement& placement, int rank,
                          const NodeMap& nodes, bool reduces) {
  return nodes.num_nodes() == 1 ? routing.plan(placement, rank)
                                : routing.plan(placement, rank, nodes, reduces);
}

/// Random values that no order of sums or rounding leaves alone.
std::vector<std::byte> random_values(DType dtype, int64_t rows, int64_t cols, uint64_t key) {
  std::vector<float> values(rows * cols);
  fill_normal(key, 0, values);
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(dtype_size(dtype)));
  convert_from_float(values.data(), std::ssize(values), dtype, bytes.data());
  return bytes;
}

/// Dispatches and combines random rows with random weights; what experts would do is left out.
std::vector<std::byte> exchange_once(ExchangeDriver& driver, const ExchangePlan& plan, DType dtype,
                                     int64_t hidden_size) {
  const auto key = static_cast<uint64_t>(plan.ep_rank);
  const auto x = random_values(dtype, plan.tokens, hidden_size, key);
  const auto shared = random_values(dtype, plan.tokens, hidden_size, key + 100);
  std::vector<float> weights(plan.experts.size());
  fill_normal(key + 200, 0, weights);
  std::vector<std::byte> y(x.size(), std::byte{0xff});
  driver.begin(plan, dtype, hidden_size);
  driver.dispatch({x.data(), dtype, plan.tokens, hidden_size});
  driver.combine(weights, {shared.data(), dtype, plan.tokens, hidden_size},
                 {y.data(), dtype, plan.tokens, hidden_size});
  return y;
}

}  // namespace

Topology ExchangeWay::topology(Ranks& ranks) const {
  Topology found = find_topology(ranks.comm, ranks.watch);
  if (found.nodes.num_nodes() > 1) return found;
  return topology_by_label(ranks.comm, ranks.watch, label ? label(ranks.comm.rank()) : 0);
}

Moved check_rows_in_place(Ranks& ranks, const ExchangeWay& way, int rounds) {
  const Topology topology = way.topology(ranks);
  const std::unique_ptr<ExchangeDriver> driver = way.make(ranks, topology);
  std::mt19937 random(17);  // the same cases on all ranks
  Moved moved;
  for (int round = 0; round < rounds; ++round) {
    const int ep_size = ranks.comm.size();
    const auto num_experts = static_cast<int64_t>(1 + random() % 12);
    const int top_k = static_cast<int>(1 + random() % std::min<uint64_t>(6, num_experts));
    std::vector<int64_t> tokens;
    for (int rank = 0; rank < ep_size; ++rank) {
      tokens.push_back(random() % 4 == 0 ? 0 : static_cast<int64_t>(random() % 70));
    }
    const auto routing =
        random_routing(random, ep_size, num_experts, top_k, tokens, static_cast<Skew>(round % 3));
    const Placement placement = contiguous_placement(num_experts, ep_size);
    const DType dtype = way.reduces || round % 2 == 0 ? DType::f32 : DType::bf16;
    const int64_t hidden_size = round % 5 == 0 ? 64 : 7;
    const ExchangePlan plan =
        make_plan_of(routing, placement, ranks.comm.rank(), topology.nodes, way.reduces);
    const auto errors = check_exchange(*driver, routing, plan, dtype, hidden_size);
    CHECK(errors.dispatch == 0);
    CHECK(errors.early == 0);
    CHECK(errors.combine == 0);
    moved.rows += plan.total_recv();
    moved.rows_off_rank += rows_received_off_rank(plan);
    for (const NodePlan::Outgoing& out : plan.across.outgoing) {
      moved.rows_off_node += out.num_rows();
      moved.routes_off_node += out.num_routes();
    }
  }
  CHECK(moved.rows > 0);
  CHECK((moved.rows_off_rank > 0) == (ranks.comm.size() > 1));
  CHECK((moved.rows_off_node > 0) == (topology.nodes.num_nodes() > 1));
  CHECK(moved.routes_off_node >= moved.rows_off_node);
  return moved;
}

void check_bits(Ranks& ranks, const ExchangeWay& way, std::mt19937& random) {
  const Topology topology = way.topology(ranks);
  const std::unique_ptr<ExchangeDriver> driver = way.make(ranks, topology);
  HostDriver by_mpi(std::make_unique<MpiTransport>(ranks.comm, ranks.watch, 1));
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t hidden_size : {24, 7}) {
      std::vector<int64_t> tokens;
      for (int rank = 0; rank < ranks.comm.size(); ++rank) tokens.push_back(20 + 9 * rank);
      const auto routing = random_routing(random, ranks.comm.size(), 10, 6, tokens, Skew::uniform);
      const ExchangePlan plan = make_plan_of(routing, contiguous_placement(10, ranks.comm.size()),
                                             ranks.comm.rank(), topology.nodes, false);
      const auto got = exchange_once(*driver, plan, dtype, hidden_size);
      CHECK(got == exchange_once(by_mpi, plan, dtype, hidden_size));
      CHECK(!got.empty());
    }
  }
}

void check_late_rank_is_named(const Communicator& comm, Transport& transport,
                              const RandomRouting& routing, const ExchangePlan& plan) {
  const int late = comm.size() - 1;
  transport.reserve({&plan, 1}, DType::f32, 4, {});
  int word = 0;
  if (comm.rank() == late) {
    for (int other = 0; other < late; ++other) {
      check_mpi(MPI_Recv(&word, 1, MPI_INT, other, kGaveUpTag, comm.get(), MPI_STATUS_IGNORE),
                "MPI_Recv");
    }
  }
  std::string text;
  bool is_reported = false;
  try {
    check_exchange(transport, routing, plan, DType::f32, 4);
  } catch (const ReportedByPeer&) {
    is_reported = true;
  } catch (const RunError& error) {
    text = error.what();
  }
  if (comm.rank() == late) return;
  check_mpi(MPI_Send(&word, 1, MPI_INT, late, kGaveUpTag, comm.get()), "MPI_Send");
  if (is_reported) return;
  CHECK_THAT(text, ContainsSubstring("no progress for 1 s"));
  CHECK_THAT(text, ContainsSubstring("rank " + std::to_string(late)));
}

}  // namespace hashep::test
