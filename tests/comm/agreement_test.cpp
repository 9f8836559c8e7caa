// SPDX-License-Identifier: Apache-2.0
#include "comm/agreement.hpp"

#include "comm/count_exchange.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

TEST_CASE("an error on one rank is an error on all, and one rank reports it") {
  test::Ranks ranks;
  const int last = ranks.comm.size() - 1;
  bool thrown = false;
  try {
    agree(ranks.comm, ranks.watch, [&] {
      if (ranks.comm.rank() == last) throw InputError("no such file");
    });
  } catch (const CollectiveInputError& error) {
    thrown = true;
    CHECK(error.is_reporter() == (ranks.comm.rank() == last));
    if (error.is_reporter()) CHECK(std::string(error.what()) == "no such file");
  }
  CHECK(thrown);
}

TEST_CASE("work that succeeds everywhere goes on") {
  test::Ranks ranks;
  int done = 0;
  agree(ranks.comm, ranks.watch, [&done] { ++done; });
  CHECK(done == 1);
}

TEST_CASE("ranks that disagree name the setting and both values") {
  test::Ranks ranks;
  const std::vector<Setting> same = {{"version", "1"}, {"--seed", "7"}};
  require_same_settings(ranks.comm, ranks.watch, same);
  if (ranks.comm.size() == 1) return;

  const int last = ranks.comm.size() - 1;
  const std::vector<Setting> mine = {{"version", "1"},
                                     {"--seed", ranks.comm.rank() == last ? "8" : "7"}};
  std::string text;
  bool reporter = false;
  try {
    require_same_settings(ranks.comm, ranks.watch, mine);
  } catch (const CollectiveInputError& error) {
    text = error.what();
    reporter = error.is_reporter();
  }
  CHECK_FALSE(text.empty());
  CHECK(reporter == (ranks.comm.rank() == last));
  if (reporter) {
    CHECK(text ==
          "ranks disagree on --seed: rank 0 has 7, rank " + std::to_string(last) + " has 8");
  }
}

TEST_CASE("the planning exchange gathers the words of all ranks in one collective") {
  test::Ranks ranks;
  CountExchange exchange(ranks.comm, 3);
  for (CountWord batch = 0; batch < 3; ++batch) {
    const auto rank_word = static_cast<CountWord>(ranks.comm.rank());
    const std::vector<CountWord> mine = {rank_word, batch, 4294967295};
    const int64_t before = ranks.watch.collectives();
    exchange.start(mine, ranks.watch);
    const auto all = exchange.finish(ranks.watch);
    CHECK(ranks.watch.collectives() - before == 1);
    for (int rank = 0; rank < ranks.comm.size(); ++rank) {
      const auto of_rank = all.subspan(static_cast<size_t>(3 * rank), 3);
      CHECK(static_cast<int>(of_rank[0]) == rank);
      CHECK(of_rank[1] == batch);
      CHECK(of_rank[2] == 4294967295);
    }
  }
  CHECK_THROWS_AS(exchange.start(std::vector<CountWord>{1}, ranks.watch), RunError);
}
