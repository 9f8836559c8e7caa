// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/message_schedule.hpp"

#include <algorithm>
#include <numeric>
#include <span>
#include <string>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {
namespace {

size_t at(int64_t index) {
  return static_cast<size_t>(index);
}

/// The plan's landing blocks of rows that come from `source` for the experts whose rows are given.
/// They are consecutive.
std::span<const RowBlock> blocks_from(const ExchangePlan& plan, int source, Range expert_rows) {
  const std::span<const RowBlock> all = plan.landing_blocks;
  // Blocks stand in message order; within a source in expert-major order too.
  const auto first = std::partition_point(all.begin(), all.end(), [&](const RowBlock& block) {
    return block.message_row < plan.recv_displs[at(source)];
  });
  const auto last = std::partition_point(first, all.end(), [&](const RowBlock& block) {
    return block.message_row < plan.recv_displs[at(source) + 1];
  });
  const auto begin = std::partition_point(
      first, last, [&](const RowBlock& block) { return block.expert_row < expert_rows.begin; });
  const auto end = std::partition_point(
      begin, last, [&](const RowBlock& block) { return block.expert_row < expert_rows.end; });
  return {begin, end};
}

void add(std::vector<Message>& messages, const Message& message) {
  if (message.rows > 0) messages.push_back(message);
}

/// The messages of this rank's rows for the part's experts of `owner`.
void add_sends(const ExchangePlan& plan, Landing landing, int64_t num_parts, int64_t part,
               int owner, std::vector<Message>& sends) {
  const std::span<const int32_t> owners = plan.expert_ranks;
  const Range wanted =
      split_range(std::count(owners.begin(), owners.end(), owner), num_parts, part);
  const auto owned_from = [&](size_t expert) {
    while (expert < owners.size() && owners[expert] != owner) ++expert;
    return expert;
  };
  Message whole{owner, 0, 0};
  size_t expert = owned_from(0);
  for (int64_t index = 0; index < wanted.end; ++index) {
    const size_t next = owned_from(expert + 1);
    const int64_t begin = plan.expert_send_rows[expert];
    const int64_t end =
        next < owners.size() ? plan.expert_send_rows[next] : plan.send_displs[at(owner) + 1];
    if (index == wanted.begin) whole.row = begin;
    if (index >= wanted.begin) {
      if (landing == Landing::direct) add(sends, {owner, begin, end - begin});
      whole.rows += end - begin;
    }
    expert = next;
  }
  if (landing == Landing::unpack) add(sends, whole);
}

/// The messages of another rank's rows, whose blocks are given.
void add_receives(std::span<const RowBlock> blocks, Landing landing, int source,
                  std::vector<Message>& receives) {
  if (landing == Landing::direct) {
    for (const RowBlock& block : blocks) {
      receives.push_back({source, block.expert_row, block.count});
    }
  } else if (!blocks.empty()) {
    const RowBlock& last = blocks.back();
    const int64_t begin = blocks.front().message_row;
    receives.push_back({source, begin, last.message_row + last.count - begin});
  }
}

}  // namespace

void make_schedule(const ExchangePlan& plan, Landing landing, int64_t num_parts, int64_t part,
                   MessageSchedule& schedule) {
  if (part < 0 || part >= num_parts) {
    throw RunError("schedule: there is no part " + std::to_string(part) + " of " +
                   std::to_string(num_parts));
  }
  schedule.sends.clear();
  schedule.receives.clear();
  schedule.own.clear();
  schedule.unpack.clear();
  const Range expert_rows = part_rows(plan, num_parts, part);
  for (int step = 1; step < plan.ep_size; ++step) {
    const int to = (plan.ep_rank + step) % plan.ep_size;
    add_sends(plan, landing, num_parts, part, to, schedule.sends);
    const int from = (plan.ep_rank + plan.ep_size - step) % plan.ep_size;
    add_receives(blocks_from(plan, from, expert_rows), landing, from, schedule.receives);
  }
  const int64_t to_send_row =
      plan.send_displs[at(plan.ep_rank)] - plan.recv_displs[at(plan.ep_rank)];
  for (RowBlock block : blocks_from(plan, plan.ep_rank, expert_rows)) {
    block.message_row += to_send_row;
    schedule.own.push_back(block);
  }
  for (int source = 0; source < plan.ep_size && landing == Landing::unpack; ++source) {
    if (source == plan.ep_rank) continue;
    const auto blocks = blocks_from(plan, source, expert_rows);
    schedule.unpack.insert(schedule.unpack.end(), blocks.begin(), blocks.end());
  }
}

MessageSchedule reversed(MessageSchedule schedule) {
  std::swap(schedule.sends, schedule.receives);
  return schedule;
}

Range part_rows(const ExchangePlan& plan, int64_t num_parts, int64_t part) {
  const Range experts = split_range(plan.num_local_experts(), num_parts, part);
  return {plan.expert_offsets[at(experts.begin)], plan.expert_offsets[at(experts.end)]};
}

Landing choose_landing(const ExchangePlan& plan, int64_t row_bytes) {
  const int64_t rows = std::accumulate(plan.rank_rows.begin(), plan.rank_rows.end(), int64_t{0});
  const int64_t messages = plan.ep_size * plan.num_experts;
  return rows * row_bytes >= kDirectBytes * messages ? Landing::direct : Landing::unpack;
}

int choose_parts(const ExchangePlan& plan, int64_t row_bytes) {
  const int64_t rows = std::accumulate(plan.rank_rows.begin(), plan.rank_rows.end(), int64_t{0});
  return rows * row_bytes >= kPartsBytes * plan.ep_size ? 2 : 1;
}

std::ostream& operator<<(std::ostream& out, const Message& message) {
  return out << message.rows << " rows from row " << message.row << ", peer " << message.peer;
}

}  // namespace hashep
