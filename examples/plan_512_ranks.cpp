// SPDX-License-Identifier: Apache-2.0
// Plans one layer for 512 ranks in one process, without MPI: how even the load is, and what crosses
// between nodes, before a cluster is asked for.
#include <algorithm>
#include <cstdio>
#include <hashep/exchange_plan.hpp>
#include <hashep/hash_router.hpp>
#include <vector>

constexpr int kRanks = 512, kTopK = 6;
constexpr int64_t kExperts = 1024, kTokens = 512, kRowBytes = 4096 * 2, kRanksOfNode = 8;
constexpr int32_t kVocabulary = 32000;

int main() {
  const hashep::HashRouter router({.vocab_size = kVocabulary, .seed = 1});
  const hashep::Placement placement = hashep::contiguous_placement(kExperts, kRanks);
  const hashep::NodeMap nodes = hashep::nodes_of_equal_size(kRanks, kRanksOfNode);

  // Each rank's tokens, the experts they go to, and how many go to each.
  std::vector<std::vector<int32_t>> experts(kRanks);
  std::vector<hashep::CountWord> counts(kRanks * kExperts);
  uint64_t state = 1;
  for (int rank = 0; rank < kRanks; ++rank) {
    std::vector<int32_t> ids(kTokens);
    for (int32_t& id : ids) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const double uniform = static_cast<double>(state >> 11) / 9007199254740992.0;
      id = static_cast<int32_t>(kVocabulary * uniform * uniform);  // low ids are frequent
    }
    experts[rank].resize(kTokens * kTopK);
    router.route({.ids = ids, .seq_len = kTokens},
                 {.layer = 0, .num_experts = kExperts, .top_k = kTopK}, experts[rank]);
    hashep::count_assignments(experts[rank], std::span(counts).subspan(rank * kExperts, kExperts));
  }

  int64_t most = 0, sent = 0, received = 0, between_nodes = 0;
  for (int rank = 0; rank < kRanks; ++rank) {
    const hashep::ExchangePlan plan =
        hashep::make_plan(experts[rank], kTopK, counts, placement, rank);
    most = std::max(most, plan.total_recv());
    sent += plan.total_send();
    received += plan.total_recv();
    for (int peer = 0; peer < kRanks; ++peer) {
      if (nodes.node_of(peer) != nodes.node_of(rank)) between_nodes += plan.send_counts[peer];
    }
  }
  const int64_t all = int64_t{kRanks} * kTokens * kTopK;
  const bool good = sent == all && received == all && most * kRanks >= all && between_nodes < all;
  std::printf("%lld rows of %lld bytes on %d ranks: at most %lld on one, max/mean %.2f\n",
              static_cast<long long>(all), static_cast<long long>(kRowBytes), kRanks,
              static_cast<long long>(most),
              static_cast<double>(most) * kRanks / static_cast<double>(all));
  std::printf("%.1f GB between nodes in dispatch, as much again in combine\n",
              static_cast<double>(between_nodes * kRowBytes) / 1e9);
  std::printf("%s\n", good ? "all rows that leave arrive" : "WRONG");
  return good ? 0 : 1;
}
