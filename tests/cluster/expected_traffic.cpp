// SPDX-License-Identifier: Apache-2.0
// expected_traffic: the rows that `hashep run --transport hier` with the same options must send
// between hosts, from the routing of tokens alone: no plan, no placement, no count of the program's
// own. Prints for each host "nodeN DISPATCHED RESULTS SUMS": rows it sends to other hosts in
// dispatch, and results it returns to them, or the sums of these with --node-reduce.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <set>
#include <vector>

#include "core/narrow.hpp"
#include "hashep/hash_router.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace {

using namespace hashep;

struct Options {
  std::vector<int> slots;  // ranks on each host
  std::vector<int64_t> steps;
  int64_t num_layers = 1;
  int64_t num_experts = 1;
  int64_t top_k = 1;
  int64_t vocab_size = 1;
  int64_t batch_tokens = 1;
  int64_t seq_len = 1;
  int64_t seed = 0;
};

/// What one host sends to others.
struct Rows {
  int64_t dispatched = 0;
  int64_t results = 0;
  int64_t sums = 0;
};

/// The host of each rank. [ep_size]
std::vector<size_t> hosts_of_ranks(const Options& options) {
  std::vector<size_t> hosts;
  for (size_t host = 0; host < options.slots.size(); ++host) {
    for (int slot = 0; slot < options.slots[host]; ++slot) hosts.push_back(host);
  }
  return hosts;
}

/// The host of each expert: rank r owns [floor(r*E/R), floor((r+1)*E/R)). [num_experts]
std::vector<size_t> hosts_of_experts(const Options& options) {
  const std::vector<size_t> ranks = hosts_of_ranks(options);
  const auto ep_size = static_cast<int64_t>(ranks.size());
  std::vector<size_t> hosts;
  for (int64_t rank = 0; rank < ep_size; ++rank) {
    const int64_t end = (rank + 1) * options.num_experts / ep_size;
    hosts.resize(end, ranks[rank]);
  }
  return hosts;
}

/// Adds what the tokens of a rank on `own_host` cause to be sent.
void add_rows(const std::vector<int32_t>& experts, size_t top_k, size_t own_host,
              const std::vector<size_t>& hosts, std::vector<Rows>& rows) {
  for (size_t first = 0; first < experts.size(); first += top_k) {
    std::set<size_t> others;
    for (size_t a = first; a < first + top_k; ++a) {
      const size_t host = hosts.at(experts[a]);
      if (host == own_host) continue;
      others.insert(host);
      ++rows[host].results;
    }
    rows[own_host].dispatched += static_cast<int64_t>(others.size());
    for (const size_t host : others) ++rows[host].sums;
  }
}

std::vector<Rows> count_rows(const Options& options) {
  const auto stream =
      make_zipf_stream(options.vocab_size, 1.0, static_cast<uint64_t>(options.seed));
  const std::vector<size_t> ranks = hosts_of_ranks(options);
  const std::vector<size_t> hosts = hosts_of_experts(options);
  std::vector<Rows> rows(options.slots.size());
  StreamBatch batch;
  for (int64_t layer = 0; layer < options.num_layers; ++layer) {
    const HashRouter router(
        {.vocab_size = options.vocab_size, .seed = static_cast<uint64_t>(options.seed)});
    const RoutedLayer routed{layer, options.num_experts, narrow<int>(options.top_k, "--top-k")};
    for (int64_t step = options.steps.at(0); step < options.steps.at(1); ++step) {
      for (size_t rank = 0; rank < ranks.size(); ++rank) {
        read_batch(*stream,
                   {.batch_tokens = options.batch_tokens,
                    .seq_len = options.seq_len,
                    .ep_size = static_cast<int>(ranks.size()),
                    .ep_rank = static_cast<int>(rank)},
                   step, batch);
        std::vector<int32_t> experts(batch.ids.size() * static_cast<size_t>(options.top_k));
        router.route(batch.view(), routed, experts);
        add_rows(experts, static_cast<size_t>(options.top_k), ranks[rank], hosts, rows);
      }
    }
  }
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The rows that hosts must send to each other");
  Options options;
  app.add_option("--slots", options.slots)->required()->delimiter(',');
  app.add_option("--steps", options.steps, "FIRST,END")->required()->delimiter(',')->expected(2);
  app.add_option("--num-layers", options.num_layers)->required();
  app.add_option("--num-experts", options.num_experts)->required();
  app.add_option("--top-k", options.top_k)->required();
  app.add_option("--vocab-size", options.vocab_size)->required();
  app.add_option("--batch-tokens", options.batch_tokens)->required();
  app.add_option("--seq-len", options.seq_len)->required();
  app.add_option("--seed", options.seed)->required();
  CLI11_PARSE(app, argc, argv);
  try {
    const std::vector<Rows> rows = count_rows(options);
    for (size_t host = 0; host < rows.size(); ++host) {
      std::printf(
          "node%zu %lld %lld %lld\n", host + 1, static_cast<long long>(rows[host].dispatched),
          static_cast<long long>(rows[host].results), static_cast<long long>(rows[host].sums));
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "expected_traffic: error: %s\n", error.what());
    return 1;
  }
  return 0;
}
