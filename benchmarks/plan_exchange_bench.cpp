// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/plan_exchange_bench.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "benchmarks/rank_harness.hpp"
#include "benchmarks/rank_report.hpp"
#include "comm/agreement.hpp"
#include "comm/count_exchange.hpp"
#include "comm/gather.hpp"
#include "comm/topology.hpp"
#include "hashep/stack_geometry.hpp"
#include "hashep/version.hpp"
#include "launch/process/result_json.hpp"
#include "runtime/layer/planning_options.hpp"

namespace hashep::bench {
namespace {

/// One size of exchange. Words carry their address, so that one out of place shows.
class ExchangeCase {
 public:
  ExchangeCase(const JobRanks& ranks, int64_t words) : exchange_(ranks, words), own_(words) {
    for (int64_t i = 0; i < words; ++i) own_[i] = word(ranks.comm.rank(), i);
  }

  void run() {
    exchange_.start(own_);
    static_cast<void>(exchange_.finish());
  }

  /// Of one more exchange, on this rank. Collective.
  int64_t count_wrong() {
    exchange_.start(own_);
    const CountExchange::Gathered gathered = exchange_.finish();
    int64_t wrong = 0;
    int64_t at = 0;
    const auto words = std::ssize(own_);
    for (const CountWord found : gathered.words()) {
      wrong += found == word(at / words, at % words) ? 0 : 1;
      ++at;
    }
    return wrong;
  }

  /// That the exchange takes on this rank, its own words included.
  int64_t buffer_bytes() const {
    return std::ssize(own_) * static_cast<int64_t>(sizeof(CountWord)) +
           share_of_node(exchange_.bytes(), exchange_.ranks_of_node());
  }

 private:
  CountWord word(int64_t rank, int64_t index) const {
    return static_cast<CountWord>(rank * std::ssize(own_) + index);
  }

  CountExchange exchange_;
  std::vector<CountWord> own_;
};

MeasuredRow blank_row(const JobRanks& ranks, int64_t num_experts, int64_t words) {
  MeasuredRow row;
  row.name = "exchange";
  row.transport = ranks.topology.nodes.num_nodes() == 1 ? "shm" : "mpi";
  row.device = "cpu";
  row.num_experts = num_experts;
  row.bytes_off_rank = (ranks.comm.size() - 1) * words * static_cast<int64_t>(sizeof(CountWord));
  return row;
}

}  // namespace

void measure_plan_exchange(const PlanOptions& options, const std::string& json_path,
                           const std::vector<std::string>& args, const Communicator& comm,
                           Watch& watch) {
  RankReport report(args, comm, watch);
  agree(comm, watch, [&] { report.open(json_path); });
  report.print("# hashep-bench " + std::string(version()) + " (" + std::string(commit()) +
               "): " + report.args_text() + "\n# ranks " + std::to_string(comm.size()) + ", " +
               MpiSession::library_version() +
               "\n# times are the slowest rank's, from its own counts to those of all ranks\n");
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  int64_t wrong_in_all = 0;
  const Topology topology = find_topology(comm, watch);
  const JobRanks ranks{comm, topology, watch};
  for (const int64_t num_experts : options.num_experts) {
    for (const int64_t num_layers : options.num_layers) {
      const StackGeometry geometry(std::vector(static_cast<size_t>(num_layers),
                                               contiguous_placement(num_experts, comm.size())),
                                   1);
      const int64_t words = kStatusWords + geometry.batch_words();
      ExchangeCase exchanged(ranks, words);
      int64_t wrong = exchanged.count_wrong();
      const std::array<RankTimed, 1> things = {{{nullptr, {[&] { exchanged.run(); }}}}};
      const auto samples = time_in_turn_on_ranks(comm, watch, options.sampling, things);
      const RankSamples& own = samples[0][0];
      wrong = reduce_sum(comm, watch, wrong + exchanged.count_wrong());
      wrong_in_all += wrong;
      MeasuredRow row = blank_row(ranks, num_experts, words);
      row.samples_us = own.max_us;
      row.wrong = wrong;
      nlohmann::ordered_json json = row_json(row);
      json["ep_size"] = comm.size();
      json["num_layers"] = num_layers;
      json["count_bytes"] = comm.size() * words * static_cast<int64_t>(sizeof(CountWord));
      json["buffer_bytes"] = exchanged.buffer_bytes();
      json["rank_median_min_us"] = own.rank_median_min;
      json["rank_median_max_us"] = own.rank_median_max;
      json["runs_per_sample"] = own.burst;
      results.push_back(std::move(json));
      row.workload = "E " + std::to_string(num_experts) + " layers " + std::to_string(num_layers) +
                     " R " + std::to_string(comm.size());
      if (comm.rank() == 0) print_row(row, std::to_string(wrong) + " wrong");
    }
  }
  report.finish(std::move(results), wrong_in_all);
}

}  // namespace hashep::bench
