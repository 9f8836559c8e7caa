// SPDX-License-Identifier: Apache-2.0
// Batches of any number of tokens a rank, planned without an exchange; planner_mpi_test has one.
#include "runtime/layer/planner.hpp"

#include <numeric>
#include <thread>

#include "comm/agreement.hpp"
#include "comm/exchange/local_transport.hpp"
#include "hashep/hash_router.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/local_stack.hpp"
#include "tests/support/odd_router.hpp"

using namespace hashep;

namespace {

/// The rows of the whole batch, from ranks (threads) that have these numbers of tokens.
std::vector<std::byte> run_parts(const test::StackCase& c, const std::vector<int64_t>& tokens) {
  const auto ep_size = static_cast<int>(tokens.size());
  const auto stream = test::stack_stream(c);
  const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(ep_size)});
  StreamBatch whole;
  read_batch(*stream, {.batch_tokens = c.batch_tokens, .seq_len = c.seq_len}, 0, whole);
  const std::vector<TokenBatch> parts = test::cut_batch(whole, tokens);
  LocalGroup group(ep_size);
  std::vector<std::vector<std::byte>> rows(tokens.size());
  std::vector<std::jthread> ranks;
  for (int rank = 0; rank < ep_size; ++rank) {
    ranks.emplace_back([&, rank] {
      Planner planner(routing.geometry, *routing.router, rank);
      const Ticket ticket = planner.submit_all(parts);
      LocalTransport transport(group, rank);
      rows[rank] = test::run_plan(c, routing.geometry, planner.wait(ticket), transport, rank);
    });
  }
  ranks.clear();  // joins
  std::vector<std::byte> all;
  for (const auto& part : rows) all.insert(all.end(), part.begin(), part.end());
  return all;
}

StackGeometry small_geometry(int ep_size, int64_t num_layers = 2) {
  return StackGeometry(
      std::vector(static_cast<size_t>(num_layers), contiguous_placement(10, ep_size)), 3);
}

std::vector<int32_t> ids_with_padding(int64_t count) {
  std::vector<int32_t> ids(count);
  make_zipf_stream(50, 0.5, 7)->read(0, ids);
  for (size_t i = 4; i < ids.size(); i += 9) ids[i] = kPaddingId;
  return ids;
}

}  // namespace

TEST_CASE("the same global batch gives the same bits however ranks hold it") {
  const std::vector<std::vector<int64_t>> splits = {
      {0, 61},     {61, 0},    {1, 60},       {17, 44},      {0, 0, 61},     {61, 0, 0},
      {30, 0, 31}, {5, 50, 6}, {0, 61, 0, 0}, {1, 1, 1, 58}, {20, 0, 0, 41}, {16, 2, 40, 3}};
  for (const test::StackCase& c : test::stack_cases()) {
    const auto alone = run_parts(c, {61});
    REQUIRE(alone == test::run_stack_locally(c, 1));
    for (const auto& split : splits) {
      INFO(c.name() << ", rank 0 of " << split.size() << " has " << split[0] << ", rank 1 "
                    << split[1]);
      CHECK((run_parts(c, split) == alone));
    }
  }
}

TEST_CASE("a batch without any token is planned and run") {
  test::StackCase c = test::stack_cases().front();
  c.batch_tokens = 0;
  CHECK(run_parts(c, {0, 0, 0}).empty());
}

TEST_CASE("one token a step, with what stands around it given, is routed as the whole at once") {
  constexpr int64_t kTokens = 40;
  constexpr int64_t kSeqLen = 13;
  const std::vector<int32_t> ids = ids_with_padding(kTokens);
  const TokenBatch whole{.ids = ids, .seq_len = kSeqLen};
  const StackGeometry geometry = small_geometry(1);
  for (const HashFeature feature :
       {HashFeature::token, HashFeature::position, HashFeature::previous, HashFeature::bigram}) {
    const HashRouter router({.vocab_size = 50, .seed = 3, .feature = feature});
    Planner planner(geometry, router, 0);
    const Ticket at_once = planner.submit_all(std::span(&whole, 1));
    const BatchPlan& expected = planner.wait(at_once);
    std::vector<std::vector<int32_t>> experts(2);
    for (int64_t i = 0; i < kTokens; ++i) {
      const int64_t position = position_of(whole, i);
      const int32_t previous_id = previous_id_of(whole, i);
      const TokenBatch step{.ids = std::span(ids).subspan(i, 1),
                            .positions = {&position, 1},
                            .previous_ids = {&previous_id, 1}};
      const Ticket ticket = planner.submit_all(std::span(&step, 1));
      const BatchPlan& plan = planner.wait(ticket);
      CHECK(plan.global_tokens == 1);
      for (size_t layer = 0; layer < 2; ++layer) {
        const auto& of_token = plan.layers[layer].experts;
        experts[layer].insert(experts[layer].end(), of_token.begin(), of_token.end());
      }
      planner.release(ticket);
    }
    INFO("feature " << static_cast<int>(feature));
    CHECK(planner.slots() == 2);
    for (size_t layer = 0; layer < 2; ++layer) {
      CHECK(experts[layer] == expected.layers[layer].experts);
    }
    CHECK(experts[0] != experts[1]);
  }
}

TEST_CASE("batches in flight are waited for in any order, and their memory is used again") {
  const std::vector<int32_t> ids = ids_with_padding(30);
  const HashRouter router({.vocab_size = 50, .seed = 1});
  const StackGeometry geometry = small_geometry(2);
  Planner planner(geometry, router, 1);
  const auto parts = [&](size_t first, size_t second) {
    return std::array{
        TokenBatch{.ids = std::span(ids).first(first)},
        TokenBatch{.ids = std::span(ids).subspan(first, second), .first_position = 5}};
  };
  std::vector<Ticket> tickets;
  for (size_t i = 0; i < 5; ++i) tickets.push_back(planner.submit_all(parts(i, 2 * i + 1)));
  CHECK(planner.in_flight() == 5);
  for (const size_t i : {3u, 0u, 4u, 1u, 2u, 3u}) {
    const BatchPlan& plan = planner.wait(tickets[i]);
    CHECK(plan.step == static_cast<int64_t>(i));
    CHECK(plan.first_token == static_cast<int64_t>(i));
    CHECK(plan.tokens == static_cast<int64_t>(2 * i + 1));
    CHECK(plan.global_tokens == static_cast<int64_t>(3 * i + 1));
    CHECK(plan.layers == plan_batch(geometry, router, parts(i, 2 * i + 1), 1).layers);
  }
  planner.release(tickets[1]);
  planner.release(tickets[1]);  // no harm
  CHECK(planner.in_flight() == 4);
  CHECK_THROWS_WITH(planner.wait(tickets[1]), "planner: batch 1 is not in flight");
  CHECK_THROWS_AS(planner.wait({}), RunError);
  planner.wait(planner.submit_all(parts(3, 3)));
  CHECK(planner.slots() == 5);
  CHECK(planner.exchanges() == 0);
  CHECK_THROWS_AS(planner.submit(parts(1, 1)[0]), RunError);  // it has no exchange
  CHECK_THROWS_AS(planner.submit_all(std::array{parts(1, 1)[0]}), InputError);
  CHECK(planner.wait(tickets[4]).tokens == 9);
}

TEST_CASE("batches that contradict themselves are refused in words, and those in flight stay") {
  const std::vector<int32_t> ids = {1, 2, 3};
  const std::vector<int64_t> positions = {0, 1, 2};
  const std::vector<int32_t> previous = {-1, 1, 2};
  const HashRouter router({.vocab_size = 50, .feature = HashFeature::bigram});
  const StackGeometry geometry = small_geometry(1);
  Planner planner(geometry, router, 0);
  const TokenBatch good{.ids = ids, .positions = positions, .previous_ids = previous};
  const Ticket first = planner.submit_all(std::array{good});
  const auto refused = [&](const TokenBatch& batch, const std::string& text) {
    const Ticket ticket = planner.submit_all(std::array{batch});
    CHECK_THROWS_WITH(planner.wait(ticket), ContainsSubstring(text));
    CHECK_THROWS_AS(planner.wait(ticket), RunError);  // released
  };
  const std::string sizes = "expected none that is negative";
  TokenBatch bad = good;
  bad.seq_len = 8;
  refused(bad, "3 ids with seq_len 8, first_position 0, 3 positions and 3 previous ids");
  bad = good;
  bad.positions = bad.positions.first(2);
  refused(bad, sizes);
  bad = good;
  bad.previous_ids = bad.previous_ids.first(2);
  refused(bad, sizes);
  refused({.ids = ids, .seq_len = -1}, sizes);
  refused({.ids = ids, .seq_len = 4, .first_position = -1}, sizes);
  refused({.ids = ids}, "neither seq_len nor previous ids");
  refused({.ids = ids, .seq_len = 4, .first_position = 1, .previous_id = 50},
          "token 1 follows id 50, outside [0, 50)");
  refused({.ids = ids, .positions = positions}, "neither seq_len nor previous ids");
  const std::vector<int32_t> unknown = {-1, 1, 77};
  refused({.ids = ids, .positions = positions, .previous_ids = unknown},
          "token 2 follows id 77, outside [0, 50)");
  const std::vector<int32_t> no_start = {5, 1, 2};
  refused({.ids = ids, .positions = positions, .previous_ids = no_start},
          "token 0 is at position 0 and follows id 5, expected -1");
  const std::vector<int64_t> negative = {1, -2, 3};
  refused({.ids = ids, .positions = negative, .previous_ids = previous},
          "token 1 has position -2, expected 0 or more");
  CHECK(planner.wait(first).tokens == 3);
  CHECK(planner.slots() == 2);
}

TEST_CASE("a router of the user's own that breaks its word is refused in one line") {
  const std::vector<int32_t> ids = {4, 5, kPaddingId, 7};
  const TokenBatch batch{.ids = ids, .seq_len = 100, .first_position = 20};
  const StackGeometry geometry = small_geometry(1);
  const auto plan_with = [&](const test::OddRouter& router) {
    Planner planner(geometry, router, 0);
    return planner.wait(planner.submit_all(std::span(&batch, 1)));
  };
  using Oddity = test::OddRouter::Oddity;
  const BatchPlan good = plan_with(test::OddRouter(Oddity::none));
  CHECK(good.layers[0].total_recv() == 9);
  CHECK_THROWS_WITH(plan_with(test::OddRouter(Oddity::too_large)),
                    "router, layer 1: token 21 has expert 10, outside [0, 10)");
  CHECK_THROWS_WITH(plan_with(test::OddRouter(Oddity::negative)),
                    "router, layer 1: token 21 has expert -1, outside [0, 10)");
  CHECK_THROWS_WITH(plan_with(test::OddRouter(Oddity::twice)),
                    "router, layer 1: token 21 has expert 1 twice");
  CHECK_THROWS_WITH(plan_with(test::OddRouter(Oddity::padding)),
                    "router, layer 1: token 22 is padding and has expert 0, expected -1");
  CHECK_THROWS_AS(plan_with(test::OddRouter(Oddity::twice)), CollectiveInputError);
  CHECK_THROWS_WITH(plan_with(test::OddRouter(Oddity::throws)), "no idea");
  CHECK_THROWS_AS(plan_with(test::OddRouter(Oddity::throws)), CollectiveRunError);
}

TEST_CASE("a stack's geometry whose sizes disagree is refused") {
  CHECK_THROWS_AS(StackGeometry({}, 1), InputError);
  CHECK_THROWS_AS(StackGeometry({contiguous_placement(4, 2), contiguous_placement(5, 2)}, 1),
                  InputError);
  CHECK_THROWS_AS(StackGeometry({contiguous_placement(4, 2), contiguous_placement(4, 1)}, 1),
                  InputError);
  CHECK_THROWS_AS(StackGeometry({contiguous_placement(4, 2)}, 5), InputError);
  CHECK_THROWS_AS(StackGeometry({contiguous_placement(4, 2)}, 1, one_node(3)), InputError);
  const StackGeometry two_nodes({contiguous_placement(4, 4)}, 2, nodes_of_equal_size(4, 2));
  CHECK(two_nodes.counted_nodes() == 2);
  CHECK(two_nodes.layer_words() == 6);
  CHECK(two_nodes.batch_words() == 7);
  CHECK(StackGeometry({contiguous_placement(4, 4)}, 2, one_node(4)).batch_words() == 5);
}
