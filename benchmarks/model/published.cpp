// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/published.hpp"

#include <algorithm>

#include "benchmarks/model/group_routing.hpp"
#include "benchmarks/model/json_fields.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep::bench {
namespace {

// What is published is far below these, which take some GiB and some minutes.
constexpr int64_t kMostRanks = int64_t{1} << 16;
constexpr int64_t kMostExperts = int64_t{1} << 24;
constexpr int64_t kMostChoices = int64_t{1} << 28;  // of a rank's tokens
constexpr int64_t kMostScores = int64_t{1} << 38;   // of all tokens and experts

/// One published figure.
struct Entry {
  std::string library;
  std::string kernels;  // what the publication calls them
  std::string source;
  int ranks = 1;
  int64_t ranks_per_node = 1;
  int64_t tokens = 0;  // of a rank
  int64_t hidden_size = 0;
  GroupRouting routing;
  Direction direction = Direction::dispatch;
  double bytes_per_element = 0.0;
  std::string rows;     // a row for each: "rank" (and token), "assignment"
  std::string counted;  // what a bandwidth is of: "ranks", "nodes"; empty: a latency
  double figure = 0.0;  // bytes/s, or seconds
  bool calibrates = false;
};

Entry read_entry(JsonFields fields) {
  Entry entry;
  entry.library = fields.text("library");
  entry.kernels = fields.text("kernels");
  entry.source = fields.text("source");
  entry.ranks = static_cast<int>(fields.count("ranks", kMostRanks));
  entry.ranks_per_node = fields.count("ranks_per_node", kMostRanks);
  entry.tokens = fields.count("tokens_per_rank");
  entry.hidden_size = fields.count("hidden_size");
  entry.routing.num_experts = fields.count("num_experts", kMostExperts);
  entry.routing.top_k = fields.count("top_k", entry.routing.num_experts);
  if (entry.tokens > kMostChoices / entry.routing.top_k) {
    fields.fail("tokens_per_rank", "times top_k must be at most " + std::to_string(kMostChoices));
  }
  entry.routing.num_groups = (entry.ranks + entry.ranks_per_node - 1) / entry.ranks_per_node;
  entry.routing.top_groups = std::min(fields.count("top_groups"), entry.routing.num_groups);
  if (entry.tokens > kMostScores / entry.routing.num_experts / entry.ranks) {
    fields.fail("tokens_per_rank",
                "times ranks and num_experts must be at most " + std::to_string(kMostScores));
  }
  const std::string of = fields.text("of");
  if (of != "dispatch" && of != "combine") fields.fail("of", "must be dispatch or combine");
  entry.direction = of == "dispatch" ? Direction::dispatch : Direction::combine;
  entry.bytes_per_element = fields.positive("bytes_per_element");
  entry.rows = fields.text("rows");
  if (entry.rows != "rank" && entry.rows != "assignment") {
    fields.fail("rows", "must be rank or assignment");
  }
  if (fields.has("latency_us")) {
    entry.figure = fields.positive("latency_us") * 1e-6;
  } else {
    entry.figure = fields.positive("bandwidth_gb_s") * 1e9;
    entry.counted = fields.text("counted");
    if (entry.counted != "ranks" && entry.counted != "nodes") {
      fields.fail("counted", "must be ranks or nodes");
    }
  }
  entry.calibrates = fields.flag("calibrates", false);
  const int64_t experts = entry.routing.num_experts;
  if (experts % entry.ranks != 0 || experts % entry.routing.num_groups != 0 ||
      entry.routing.top_k > experts / entry.routing.num_groups * entry.routing.top_groups) {
    fields.fail("num_experts", "must be a multiple of ranks and of nodes, and suffice for top_k");
  }
  fields.finish();
  return entry;
}

/// What a publication's exchange moves, as flows between ranks that stand for their experts, and
/// the rows that its bandwidth counts: those to the rank's own node, and to itself, too.
struct PublishedJob {
  Placement placement;
  NodeMap nodes;
  JobFlows flows;
  double counted_rows = 0.0;  // of a rank, on the average
};

PublishedJob count_published(const Entry& entry) {
  const NodeMap nodes = nodes_of_equal_size(entry.ranks, entry.ranks_per_node);
  PublishedJob job{contiguous_placement(entry.ranks, entry.ranks), nodes, {}, 0.0};
  FlowCounter counter(job.placement, job.nodes);
  const auto top_k = static_cast<size_t>(entry.routing.top_k);
  const int64_t experts_of_rank = entry.routing.num_experts / entry.ranks;
  std::vector<int32_t> chosen(static_cast<size_t>(entry.tokens) * top_k);
  std::vector<int32_t> expert_nodes;
  for (int rank = 0; rank < entry.ranks; ++rank) expert_nodes.push_back(nodes.node_of(rank));
  const auto ranks = static_cast<size_t>(entry.ranks);
  std::vector<CountWord> counts(ranks + static_cast<size_t>(nodes.num_nodes()));
  int64_t rank_rows = 0;
  int64_t node_rows = 0;
  for (int source = 0; source < entry.ranks; ++source) {
    route_by_groups(entry.routing, source * entry.tokens, chosen);
    for (int32_t& expert : chosen) expert = static_cast<int32_t>(expert / experts_of_rank);
    const std::span words(counts);
    count_node_rows(chosen, static_cast<int>(entry.routing.top_k), expert_nodes,
                    words.subspan(ranks));
    if (entry.rows == "rank") {  // only now: node rows are counted of whole tokens
      for (auto token = chosen.begin(); token != chosen.end(); token += entry.routing.top_k) {
        for (auto choice = token; choice != token + entry.routing.top_k; ++choice) {
          if (std::find(token, choice, *choice) != choice) *choice = -1;
        }
      }
    }
    count_assignments(chosen, words.first(ranks));
    for (const CountWord rows : words.first(ranks)) rank_rows += rows;
    for (const CountWord rows : words.subspan(ranks)) node_rows += rows;
    counter.add(source, entry.tokens, words.first(nodes.num_nodes() > 1 ? words.size() : ranks));
  }
  job.flows = counter.flows();
  job.counted_rows = static_cast<double>(entry.counted == "nodes" ? node_rows : rank_rows) /
                     static_cast<double>(entry.ranks);
  return job;
}

PointError entry_error(const Entry& entry, const MachineProfile& profile) {
  const PublishedJob job = count_published(entry);
  const double row_bytes = static_cast<double>(entry.hidden_size) * entry.bytes_per_element;
  const Move move = entry.rows == "rank" ? Move::once : Move::direct;
  const ExchangeCase exchange{move, entry.direction, row_bytes, true};
  PointError error;
  error.of = entry.kernels + (entry.direction == Direction::dispatch ? " dispatch" : " combine");
  error.kind = entry.calibrates ? "calibrates" : "published";
  error.predicted_s =
      slowest_rank(exchange_work(job.flows, job.nodes, profile, exchange), profile).seconds;
  const double counted_bytes = job.counted_rows * row_bytes;
  error.measured_s = entry.counted.empty() ? entry.figure : counted_bytes / entry.figure;
  error.fields = {{"library", entry.library},
                  {"source", entry.source},
                  {"machine", profile.name},
                  {"ranks", entry.ranks},
                  {"ranks_per_node", entry.ranks_per_node},
                  {"tokens_per_rank", entry.tokens},
                  {"hidden_size", entry.hidden_size},
                  {"num_experts", entry.routing.num_experts},
                  {"top_k", entry.routing.top_k}};
  if (!entry.counted.empty()) {
    error.fields["published_gb_s"] = entry.figure / 1e9;
    error.fields["predicted_gb_s"] = counted_bytes / error.predicted_s / 1e9;
  }
  return error;
}

}  // namespace

std::vector<PointError> published_errors(const nlohmann::json& document, const std::string& file,
                                         const MachineProfile& profile) {
  JsonFields root(document, file);
  root.text("description");
  std::vector<PointError> errors;
  const nlohmann::json& entries = root.array("entries");
  root.finish();
  for (size_t i = 0; i < entries.size(); ++i) {
    errors.push_back(
        entry_error(read_entry({entries[i], file + ": entry " + std::to_string(i)}), profile));
  }
  return errors;
}

}  // namespace hashep::bench
