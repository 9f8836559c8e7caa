// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/local_transport.hpp"

#include <array>
#include <set>
#include <thread>

#include "tests/support/catch.hpp"
#include "tests/support/exchange_check.hpp"

using namespace hashep;

TEST_CASE("rows that are sent carry their address: no two are alike") {
  std::set<std::array<float, 4>> rows;
  const auto row_of = [](int rank, int64_t token) {
    std::array<float, 4> row{};
    for (size_t column = 0; column < row.size(); ++column) {
      row[column] = test::address_element(rank, token, static_cast<int64_t>(column));
    }
    return row;
  };
  constexpr int kRanks = 7;
  constexpr int64_t kTokens = 5000;
  for (int rank = 0; rank < kRanks; ++rank) {
    for (int64_t token = 0; token < kTokens; ++token) rows.insert(row_of(rank, token));
  }
  CHECK(rows.size() == kRanks * kTokens);
}

TEST_CASE("transport local puts every row in its place, for any number of ranks and experts") {
  std::mt19937 random(11);
  int64_t received = 0;
  for (int round = 0; round < 40; ++round) {
    const int ep_size = static_cast<int>(1 + random() % 7);
    const auto num_experts = static_cast<int64_t>(1 + random() % 12);
    const int top_k = static_cast<int>(1 + random() % std::min<uint64_t>(6, num_experts));
    std::vector<int64_t> tokens;
    for (int rank = 0; rank < ep_size; ++rank)
      tokens.push_back(static_cast<int64_t>(random() % 50));
    const auto routing = test::random_routing(random, ep_size, num_experts, top_k, tokens,
                                              static_cast<test::Skew>(round % 3));
    const Placement placement = contiguous_placement(num_experts, ep_size);
    const DType dtype = round % 2 == 0 ? DType::f32 : DType::bf16;

    LocalGroup group(ep_size);
    std::vector<test::ExchangeErrors> errors(ep_size);
    std::vector<std::jthread> ranks;
    for (int rank = 0; rank < ep_size; ++rank) {
      ranks.emplace_back([&, rank] {
        LocalTransport transport(group, rank);
        errors[rank] =
            test::check_exchange(transport, routing, routing.plan(placement, rank), dtype, 5);
      });
    }
    ranks.clear();  // joins
    for (const test::ExchangeErrors& of_rank : errors) {
      CHECK(of_rank.dispatch == 0);
      CHECK(of_rank.combine == 0);
      received += of_rank.rows_received;
    }
  }
  CHECK(received > 1000);
}
