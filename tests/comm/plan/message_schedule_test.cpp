// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/message_schedule.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/random_routing.hpp"

using namespace hashep;
using test::Skew;

namespace {

constexpr int kRounds = 120;

/// A row that knows where it comes from; {-1, -1}: not written.
using Row = std::pair<int, int64_t>;  // source rank, row of its send buffer
using Rows = std::vector<Row>;

/// All ranks' plans of one layer: E not a multiple of R, E < R, ranks with no tokens, one expert
/// taking all, padding.
std::vector<ExchangePlan> random_plans(std::mt19937& random, int round) {
  const int ep_size = 1 + round % 9;
  const auto num_experts = static_cast<int64_t>(1 + random() % 20);
  const int top_k = static_cast<int>(1 + random() % std::min<uint64_t>(6, num_experts));
  std::vector<int64_t> tokens;
  for (int rank = 0; rank < ep_size; ++rank) {
    tokens.push_back(random() % 4 == 0 ? 0 : static_cast<int64_t>(random() % 40));
  }
  const auto routing = test::random_routing(random, ep_size, num_experts, top_k, tokens,
                                            static_cast<Skew>(random() % 3));
  std::vector<int64_t> loads(static_cast<size_t>(num_experts));
  for (auto& load : loads) load = static_cast<int64_t>(random() % 100);
  const Placement placement = random() % 2 == 0 ? contiguous_placement(num_experts, ep_size)
                                                : balanced_placement(loads, ep_size);
  std::vector<ExchangePlan> plans;
  for (int rank = 0; rank < ep_size; ++rank) plans.push_back(routing.plan(placement, rank));
  return plans;
}

/// A way to run an exchange.
struct Way {
  Landing landing = Landing::direct;
  int64_t num_parts = 1;
};
std::vector<Way> all_ways() {
  std::vector<Way> ways;
  for (const Landing landing : {Landing::direct, Landing::unpack}) {
    for (const int64_t parts : {1, 2, 3}) ways.push_back({landing, parts});
  }
  return ways;
}

std::vector<MessageSchedule> schedules_of(const std::vector<ExchangePlan>& plans, const Way& way,
                                          int64_t part) {
  std::vector<MessageSchedule> schedules(plans.size());
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    make_schedule(plans[rank], way.landing, way.num_parts, part, schedules[rank]);
  }
  return schedules;
}

std::vector<MessageSchedule> reversed_all(std::vector<MessageSchedule> schedules) {
  for (MessageSchedule& schedule : schedules) schedule = reversed(std::move(schedule));
  return schedules;
}

std::vector<Message> with_peer(const std::vector<Message>& messages, size_t peer) {
  std::vector<Message> found;
  for (const Message& message : messages) {
    if (message.peer == static_cast<int32_t>(peer)) found.push_back(message);
  }
  return found;
}

/// How many times each row of a buffer is in a message or block.
class Cover {
 public:
  explicit Cover(int64_t rows) : times_(static_cast<size_t>(rows)) {}
  void add(int64_t row, int64_t count) {
    for (int64_t i = row; i < row + count; ++i) ++times_.at(static_cast<size_t>(i));
  }
  void add(const std::vector<Message>& messages) {
    for (const Message& message : messages) add(message.row, message.rows);
  }
  bool is_once() const {
    return std::all_of(times_.begin(), times_.end(), [](int times) { return times == 1; });
  }

 private:
  std::vector<int> times_;
};

Row& at(Rows& rows, int64_t row) {
  return rows.at(static_cast<size_t>(row));
}

/// Does what messages do, in the order in which they match. Returns the rows moved.
int64_t move_messages(const std::vector<MessageSchedule>& schedules, std::vector<Rows>& from,
                      std::vector<Rows>& to) {
  int64_t moved = 0;
  for (size_t source = 0; source < schedules.size(); ++source) {
    for (size_t target = 0; target < schedules.size(); ++target) {
      const auto sends = with_peer(schedules[source].sends, target);
      const auto receives = with_peer(schedules[target].receives, source);
      REQUIRE(sends.size() == receives.size());
      for (size_t i = 0; i < sends.size(); ++i) {
        REQUIRE(sends[i].rows == receives[i].rows);
        for (int64_t row = 0; row < sends[i].rows; ++row) {
          at(to[target], receives[i].row + row) = at(from[source], sends[i].row + row);
        }
        moved += sends[i].rows;
      }
    }
  }
  return moved;
}

void copy_rows(Rows& from, int64_t from_row, Rows& to, int64_t to_row, int64_t count) {
  for (int64_t i = 0; i < count; ++i) at(to, to_row + i) = at(from, from_row + i);
}

/// The buffers of all ranks.
struct Buffers {
  std::vector<Rows> send, received, expert;

  explicit Buffers(const std::vector<ExchangePlan>& plans) {
    for (const ExchangePlan& plan : plans) {
      send.emplace_back(static_cast<size_t>(plan.total_send()), Row{-1, -1});
      received.emplace_back(static_cast<size_t>(plan.total_recv()), Row{-1, -1});
      expert.emplace_back(static_cast<size_t>(plan.total_recv()), Row{-1, -1});
    }
  }
  std::vector<Rows>& landing(const Way& way) {
    return way.landing == Landing::direct ? expert : received;
  }
};

int64_t dispatch(const std::vector<MessageSchedule>& schedules, const Way& way, Buffers& buffers) {
  const int64_t moved = move_messages(schedules, buffers.send, buffers.landing(way));
  for (size_t rank = 0; rank < schedules.size(); ++rank) {
    for (const RowBlock& block : schedules[rank].own) {
      copy_rows(buffers.send[rank], block.message_row, buffers.expert[rank], block.expert_row,
                block.count);
    }
    for (const RowBlock& block : schedules[rank].unpack) {
      copy_rows(buffers.received[rank], block.message_row, buffers.expert[rank], block.expert_row,
                block.count);
    }
  }
  return moved;
}

void combine(const std::vector<MessageSchedule>& schedules, const Way& way, Buffers& buffers) {
  for (size_t rank = 0; rank < schedules.size(); ++rank) {
    for (const RowBlock& block : schedules[rank].own) {
      copy_rows(buffers.expert[rank], block.expert_row, buffers.send[rank], block.message_row,
                block.count);
    }
    for (const RowBlock& block : schedules[rank].unpack) {
      copy_rows(buffers.expert[rank], block.expert_row, buffers.received[rank], block.message_row,
                block.count);
    }
  }
  move_messages(reversed_all(schedules), buffers.landing(way), buffers.send);
}

}  // namespace

TEST_CASE("a schedule by hand: rank 0 of two, three experts") {
  // Rank 0 owns expert 0, rank 1 owns experts 1 and 2.
  const std::vector<CountWord> counts = {1, 2, 1, /* rank 1: */ 3, 0, 1};
  const ExchangePlan plan = make_plan({1, 0, 2, 1}, 2, counts, contiguous_placement(3, 2), 0);
  MessageSchedule schedule;
  make_schedule(plan, Landing::direct, 1, 0, schedule);
  CHECK(schedule.sends == std::vector<Message>{{1, 1, 2}, {1, 3, 1}});
  CHECK(schedule.receives == std::vector<Message>{{1, 1, 3}});
  CHECK(schedule.own == std::vector<RowBlock>{{0, 0, 1}});
  CHECK(schedule.unpack.empty());

  make_schedule(plan, Landing::unpack, 1, 0, schedule);
  CHECK(schedule.sends == std::vector<Message>{{1, 1, 3}});
  CHECK(schedule.receives == std::vector<Message>{{1, 1, 3}});
  CHECK(schedule.unpack == std::vector<RowBlock>{{1, 1, 3}});

  // Rank 0 has its only expert in the second part.
  make_schedule(plan, Landing::unpack, 2, 1, schedule);
  CHECK(schedule.sends == std::vector<Message>{{1, 3, 1}});
  CHECK(schedule.own == std::vector<RowBlock>{{0, 0, 1}});
  CHECK(part_rows(plan, 2, 0) == Range{0, 0});
  CHECK(part_rows(plan, 2, 1) == Range{0, 4});
  CHECK_THROWS_AS(make_schedule(plan, Landing::unpack, 2, 2, schedule), RunError);
}

TEST_CASE("dispatch brings every row to its place, combine brings it back") {
  std::mt19937 random(5);
  int64_t moved = 0;
  int64_t kept = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto plans = random_plans(random, round);
    for (const Way& way : all_ways()) {
      Buffers buffers(plans);
      for (size_t rank = 0; rank < plans.size(); ++rank) {
        for (int64_t row = 0; row < plans[rank].total_send(); ++row) {
          at(buffers.send[rank], row) = {static_cast<int>(rank), row};
        }
      }
      const std::vector<Rows> sent = buffers.send;
      for (int64_t part = 0; part < way.num_parts; ++part) {
        moved += dispatch(schedules_of(plans, way, part), way, buffers);
      }
      // Where the plan says that each row lands.
      for (size_t rank = 0; rank < plans.size(); ++rank) {
        const ExchangePlan& plan = plans[rank];
        for (size_t a = 0; a < plan.experts.size(); ++a) {
          if (plan.experts[a] < 0) continue;
          const auto e = static_cast<size_t>(plan.experts[a]);
          const auto owner = static_cast<size_t>(plan.expert_ranks[e]);
          const int64_t landing =
              plan.landing_rows[e] + plan.send_rows[a] - plan.expert_send_rows[e];
          CHECK(at(buffers.expert[owner], landing) ==
                Row{static_cast<int>(rank), plan.send_rows[a]});
          kept += owner == rank ? 1 : 0;
        }
        std::fill(buffers.send[rank].begin(), buffers.send[rank].end(), Row{-1, -1});
        std::fill(buffers.received[rank].begin(), buffers.received[rank].end(), Row{-1, -1});
      }
      for (int64_t part = 0; part < way.num_parts; ++part) {
        combine(schedules_of(plans, way, part), way, buffers);
      }
      CHECK(buffers.send == sent);
    }
  }
  CHECK(moved > 100000);  // the cases are not empty
  CHECK(kept > 10000);
}

TEST_CASE("each row of both buffers is in one message or block of one part") {
  std::mt19937 random(6);
  for (int round = 0; round < kRounds; ++round) {
    const auto plans = random_plans(random, round);
    for (const Way& way : all_ways()) {
      for (const ExchangePlan& plan : plans) {
        Cover sends(plan.total_send());
        Cover lands(plan.total_recv());
        Cover experts(plan.total_recv());
        for (int64_t part = 0; part < way.num_parts; ++part) {
          MessageSchedule schedule;
          make_schedule(plan, way.landing, way.num_parts, part, schedule);
          sends.add(schedule.sends);
          lands.add(schedule.receives);
          if (way.landing == Landing::direct) experts.add(schedule.receives);
          const Range own_rows = part_rows(plan, way.num_parts, part);
          for (const RowBlock& block : schedule.own) {
            sends.add(block.message_row, block.count);
            experts.add(block.expert_row, block.count);
            CHECK((block.expert_row >= own_rows.begin &&
                   block.expert_row + block.count <= own_rows.end));
            // What no message brings; a receive buffer has room for it all the same.
            const auto rank = static_cast<size_t>(plan.ep_rank);
            lands.add(way.landing == Landing::direct
                          ? block.expert_row
                          : block.message_row - plan.send_displs[rank] + plan.recv_displs[rank],
                      block.count);
          }
          for (const RowBlock& block : schedule.unpack) {
            experts.add(block.expert_row, block.count);
            CHECK((block.expert_row >= own_rows.begin &&
                   block.expert_row + block.count <= own_rows.end));
          }
        }
        CHECK(sends.is_once());
        CHECK(lands.is_once());
        CHECK(experts.is_once());
      }
    }
  }
}

TEST_CASE("messages are not empty, not to oneself, and peers go around from the next rank") {
  std::mt19937 random(7);
  for (int round = 0; round < kRounds; ++round) {
    const auto plans = random_plans(random, round);
    for (const Way& way : all_ways()) {
      for (const ExchangePlan& plan : plans) {
        MessageSchedule schedule;
        make_schedule(plan, way.landing, way.num_parts, 0, schedule);
        const auto check = [&](const std::vector<Message>& messages, int direction) {
          int last = 0;
          for (const Message& message : messages) {
            const int away =
                (direction * (message.peer - plan.ep_rank) + plan.ep_size) % plan.ep_size;
            CHECK(away >= std::max(last, 1));
            CHECK(message.rows > 0);
            if (way.landing == Landing::unpack) CHECK(away != last);  // one a peer
            last = away;
          }
        };
        check(schedule.sends, 1);
        check(schedule.receives, -1);
      }
    }
  }
}

TEST_CASE("schedules reuse memory") {
  std::mt19937 random(8);
  const auto routing = test::random_routing(random, 3, 6, 2, {30, 30, 30}, Skew::uniform);
  const ExchangePlan plan = routing.plan(contiguous_placement(6, 3), 1);
  MessageSchedule schedule;
  make_schedule(plan, Landing::direct, 1, 0, schedule);
  const Message* const sends = schedule.sends.data();
  REQUIRE(sends != nullptr);
  const MessageSchedule first = schedule;
  make_schedule(plan, Landing::unpack, 1, 0, schedule);
  CHECK(!schedule.unpack.empty());
  make_schedule(plan, Landing::direct, 1, 0, schedule);
  CHECK(schedule == first);
  CHECK(schedule.sends.data() == sends);
  MessageSchedule backwards = reversed(std::move(schedule));
  CHECK(backwards.receives.data() == sends);
  CHECK(reversed(std::move(backwards)) == first);
}

TEST_CASE("rows land directly where messages are large on average, alike on all ranks") {
  ExchangePlan plan;
  plan.ep_size = 2;
  plan.num_experts = 4;
  plan.rank_rows = {1000, 24};  // 128 rows a message
  CHECK(choose_landing(plan, kDirectBytes / 128) == Landing::direct);
  CHECK(choose_landing(plan, kDirectBytes / 128 - 1) == Landing::unpack);
  plan.rank_rows = {0, 0};
  CHECK(choose_landing(plan, 8192) == Landing::unpack);
}
