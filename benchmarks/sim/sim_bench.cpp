// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/sim/sim_bench.hpp"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <simgrid/s4u/Actor.hpp>

#include "benchmarks/exchange_check.hpp"
#include "benchmarks/sim/sent_messages.hpp"
#include "benchmarks/sim/sim_case.hpp"
#include "comm/exchange/hier_transport.hpp"
#include "comm/exchange/mpi_transport.hpp"
#include "comm/topology.hpp"
#include "hashep/buffer.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {
namespace {

constexpr double kStartDelay = 1.0;  // simulated seconds: longer than telling all ranks takes

/// What one transport did, over all ranks.
struct Outcome {
  double dispatch_us = 0.0;
  double combine_us = 0.0;
  double layer_us = 0.0;
  SentMessages dispatched;
  SentMessages combined;
  int64_t wrong_in_dispatch = 0;
  int64_t wrong_in_combine = 0;
};

class SimBench {
 public:
  SimBench(const SimOptions& options, const Communicator& comm, Watch& watch)
      : options_(options),
        comm_(comm),
        watch_(watch),
        case_(make_sim_case(options, comm.size(), comm.rank())),
        topology_{case_.nodes, Communicator::of_label(comm, case_.nodes.node_of(comm.rank()))},
        check_(case_.experts, case_.plan.top_k, case_.plan.local_experts,
               split_range(options.tokens_per_rank * comm.size(), comm.size(), comm.rank())) {
    case_.experts = {};  // the check has its own
    x_buffer_.reserve(bytes());
    y_buffer_.reserve(bytes());
    check_.fill(x());
  }

  Outcome run(const std::string& name) {
    const ExchangePlan& plan = case_.plan;
    const std::unique_ptr<Transport> transport = make(name);
    transport->reserve({&plan, 1}, options_.dtype, options_.hidden_size, {});
    const std::unique_ptr<Exchange> exchange = transport->make_exchange();
    exchange->begin(plan);
    const MatrixView rows = transport->expert_rows(plan);
    Outcome outcome;
    poison(y());

    begin();
    exchange->dispatch_all(x());
    outcome.dispatch_us = end();
    outcome.dispatched = sent_messages();
    outcome.wrong_in_dispatch = sum(check_.wrong_in_dispatch(rows));
    check_.run_experts(rows);

    begin();
    exchange->return_all({}, {}, y());
    outcome.combine_us = end();
    outcome.combined = sent_messages();
    outcome.wrong_in_combine = sum(check_.wrong_in_combine(y(), {}, true));

    begin();
    run_layer(*exchange);
    outcome.layer_us = end();
    return outcome;
  }

  nlohmann::ordered_json rows_of(const std::string& transport, const Outcome& outcome) const {
    const int64_t row_bytes = options_.hidden_size * dtype_size(options_.dtype);
    int64_t out = case_.traffic.rows_inter * row_bytes;
    const int64_t back = out;
    if (transport == "hier") {
      out = case_.traffic.rows_inter_dedup * row_bytes;
      for (const BufferRows& of_rank : case_.traffic.buffers) {
        out += of_rank.out_routes * static_cast<int64_t>(sizeof(NodePlan::Route));
      }
    }
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    rows.push_back(row("dispatch", transport, outcome.dispatch_us, outcome.wrong_in_dispatch));
    add_messages(rows.back(), out, outcome.dispatched);
    rows.push_back(row("combine", transport, outcome.combine_us, outcome.wrong_in_combine));
    add_messages(rows.back(), back, outcome.combined);
    rows.push_back(row("layer", transport, outcome.layer_us, std::nullopt));
    return rows;
  }

 private:
  int64_t bytes() const {
    return options_.tokens_per_rank * options_.hidden_size * dtype_size(options_.dtype);
  }
  MatrixView x() {
    return x_buffer_.matrix(options_.dtype, options_.tokens_per_rank, options_.hidden_size);
  }
  MatrixView y() {
    return y_buffer_.matrix(options_.dtype, options_.tokens_per_rank, options_.hidden_size);
  }

  std::unique_ptr<Transport> make(const std::string& name) {
    if (name == "mpi") return std::make_unique<MpiTransport>(comm_, watch_, 1);
    return std::make_unique<HierTransport>(comm_, topology_, watch_, 1);
  }

  /// Ranks begin at one instant, however unevenly a barrier lets them go.
  void begin() {
    barrier();
    if (comm_.rank() == 0) count_sent_messages(case_.nodes);
    const double now = MPI_Wtime();
    check_mpi(MPI_Allreduce(&now, &begin_, 1, MPI_DOUBLE, MPI_MAX, comm_.get()), "MPI_Allreduce");
    begin_ += kStartDelay;
    simgrid::s4u::this_actor::sleep_until(begin_);
  }
  /// Microseconds since, of the slowest rank, on all ranks.
  double end() {
    const double mine = MPI_Wtime() - begin_;
    barrier();
    double slowest = 0.0;
    check_mpi(MPI_Allreduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, comm_.get()), "MPI_Allreduce");
    return 1e6 * slowest;
  }
  // Blocking collectives: SimGrid's non-blocking ones send a message from each rank to each.
  void barrier() { check_mpi(MPI_Barrier(comm_.get()), "MPI_Barrier"); }
  int64_t sum(int64_t value) const {
    int64_t all = 0;
    check_mpi(MPI_Allreduce(&value, &all, 1, MPI_INT64_T, MPI_SUM, comm_.get()), "MPI_Allreduce");
    return all;
  }

  /// As a layer does it: rows of the own node compute while others travel, where the exchange comes
  /// in parts (of hier: near rows, far rows, none).
  void run_layer(Exchange& exchange) {
    const int parts = exchange.num_parts();
    std::vector<int64_t> near = all_rows();
    const std::vector<int64_t> far = far_rows();
    for (size_t i = 0; i < near.size() && parts > 1; ++i) near[i] -= far[i];
    for (int part = 0; part < parts; ++part) {
      exchange.dispatch(part, x(), {});
      if (part == 0) compute(near);
      if (part == 1) compute(far);
      exchange.give_back(part, {}, {});
    }
    exchange.combine({}, {}, y(), {});
  }
  void compute(const std::vector<int64_t>& expert_rows) const {
    simgrid::s4u::this_actor::sleep_for(
        experts_seconds(options_.gemm, expert_rows, options_.hidden_size, options_.ffn_size));
  }
  std::vector<int64_t> all_rows() const {
    const auto& offsets = case_.plan.expert_offsets;
    std::vector<int64_t> rows;
    for (size_t i = 0; i + 1 < offsets.size(); ++i) rows.push_back(offsets[i + 1] - offsets[i]);
    return rows;
  }
  std::vector<int64_t> far_rows() const {
    const auto& offsets = case_.plan.expert_offsets;
    std::vector<int64_t> rows(offsets.size() - 1);
    for (size_t i = 0; i < rows.size(); ++i) {
      for (const Range& far : case_.plan.across.far_rows) {
        rows[i] += std::max<int64_t>(
            0, std::min(far.end, offsets[i + 1]) - std::max(far.begin, offsets[i]));
      }
    }
    return rows;
  }

  nlohmann::ordered_json row(const char* name, const std::string& transport, double us,
                             std::optional<int64_t> wrong) const {
    nlohmann::ordered_json row = row_json({.name = name,
                                           .transport = transport,
                                           .device = std::nullopt,
                                           .dtype = std::string(dtype_name(options_.dtype)),
                                           .workload = "uniform",
                                           .tokens_per_rank = options_.tokens_per_rank,
                                           .hidden_size = options_.hidden_size,
                                           .ffn_size = options_.ffn_size,
                                           .num_experts = options_.num_experts,
                                           .top_k = options_.top_k,
                                           .bytes_off_rank = std::nullopt,
                                           .samples_us = {us},
                                           .wrong = wrong});
    row["vocab_size"] = options_.vocab_size;
    row["ranks"] = comm_.size();
    row["ranks_per_node"] = options_.ranks_per_node;
    row["simulated"] = true;
    return row;
  }
  /// What the plans of all ranks say that nodes send each other, and what they sent.
  static void add_messages(nlohmann::ordered_json& row, int64_t planned, SentMessages sent) {
    row["bytes_inter_planned"] = planned;
    row["bytes_inter"] = sent.bytes;
    row["messages_inter"] = sent.messages;
  }

  const SimOptions& options_;
  const Communicator& comm_;
  Watch& watch_;
  SimCase case_;
  Topology topology_;
  ExchangeCheck check_;
  Buffer x_buffer_;
  Buffer y_buffer_;
  double begin_ = 0.0;
};

}  // namespace

nlohmann::ordered_json simulate(const SimOptions& options, const Communicator& comm, Watch& watch) {
  SimBench bench(options, comm, watch);
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const std::string& transport : options.transports) {
    const Outcome outcome = bench.run(transport);
    if (comm.rank() != 0) continue;
    for (auto& row : bench.rows_of(transport, outcome)) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace hashep::bench
