// SPDX-License-Identifier: Apache-2.0
// Routes a few tokens and plans their exchange with the installed library, and checks what a caller
// may rely on.
#include <cstdint>
#include <iostream>
#include <span>
#include <vector>

#include "hashep/error.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/hash_router.hpp"

namespace {

constexpr int64_t kNumExperts = 10;
constexpr int kTopK = 2;

bool row_is_valid(int32_t id, int32_t first, int32_t second) {
  if (id == hashep::kPaddingId) return first == -1 && second == -1;
  const bool in_range = first >= 0 && first < kNumExperts && second >= 0 && second < kNumExperts;
  return in_range && first != second;
}

}  // namespace

int main() {
  const hashep::HashRouter router(
      {.seed = 7, .num_experts = kNumExperts, .top_k = kTopK, .vocab_size = 1000});
  const hashep::TokenBatch batch{.ids = {3, 999, hashep::kPaddingId, 3}, .seq_len = 4};
  std::vector<int32_t> experts(batch.ids.size() * kTopK, -2);
  router.route(batch, experts);

  bool good = true;
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    std::cout << "token id " << batch.ids[i] << " -> experts " << experts[2 * i] << ", "
              << experts[2 * i + 1] << '\n';
    good = good && row_is_valid(batch.ids[i], experts[2 * i], experts[2 * i + 1]);
  }
  good = good && experts[0] == experts[6] && experts[1] == experts[7];  // the same id twice

  // Both of two ranks have these tokens, of which one is padding: six rows each.
  std::vector<hashep::CountWord> counts(2 * kNumExperts);
  hashep::count_assignments(experts, std::span(counts).first(kNumExperts));
  hashep::count_assignments(experts, std::span(counts).last(kNumExperts));
  const hashep::Placement placement = hashep::contiguous_placement(kNumExperts, 2);
  const auto first = hashep::make_plan(experts, kTopK, counts, placement, 0);
  const auto second = hashep::make_plan(experts, kTopK, counts, placement, 1);
  std::cout << first << '\n';
  good = good && first.total_send() == 6 && first.total_recv() + second.total_recv() == 12 &&
         first.send_counts[1] == second.recv_counts[0];

  try {
    router.route({.ids = {1000}}, std::span(experts).first(kTopK));
    good = false;  // an id beyond the vocabulary
  } catch (const hashep::InputError& error) {
    std::cout << "refused: " << error.what() << '\n';
  }
  std::cout << (good ? "the installed HashEP works" : "the installed HashEP is wrong") << '\n';
  return good ? 0 : 1;
}
