// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>
#include <vector>

#include "hashep/backend.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/split.hpp"

namespace hashep {

/// Consecutive rows of a buffer that one message takes from or brings to `peer`.
struct Message {
  int32_t peer = 0;
  int64_t row = 0;   // the first one in the buffer
  int64_t rows = 0;  // never 0

  bool operator==(const Message&) const = default;
};

/// All messages of one exchange, or of one part of it, as one rank sees them. Between two ranks the
/// k-th send of one is the k-th receive of the other. Sends go to rank + 1 first, then to rank + 2
/// and so on around, receives come from rank - 1 first: no rank is everyone's first target. A
/// rank's rows for itself are no message.
///
/// Rows are those of dispatch: `sends` are rows of the source's rank-major send buffer; `receives`
/// are expert-major rows with Landing::direct, and rank-major rows of a receive buffer with
/// Landing::unpack.
struct MessageSchedule {
  std::vector<Message> sends;
  std::vector<Message> receives;

  /// A rank's rows for itself: row message_row of its *send* buffer is expert-major row expert_row.
  std::vector<RowBlock> own;

  /// Where received rows go: those of plan.landing_blocks that came as messages of this part, in
  /// message order. Empty with Landing::direct.
  std::vector<RowBlock> unpack;

  bool operator==(const MessageSchedule&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Message& message);

/// Schedules part `part` of `num_parts` of an exchange: a part moves the rows of a range of each
/// owner's local experts (split_range of their number), so that expert-major rows of a part stand
/// together and so do a peer's rank-major rows. Parts may be empty. A pure function of the plan;
/// all ranks must give the same landing and parts. Reuses the memory of `schedule`.
/// O(ep_size * num_experts) time.
void make_schedule(const ExchangePlan& plan, Landing landing, int64_t num_parts, int64_t part,
                   MessageSchedule& schedule);

/// The same exchange backwards, for combine: what was sent is received, row for row. `own` and
/// `unpack` stay, to be copied backwards; for Landing::unpack that comes before the messages.
MessageSchedule reversed(MessageSchedule schedule);

/// The expert-major rows of a part at their owner, the plan's rank: [begin, end).
Range part_rows(const ExchangePlan& plan, int64_t num_parts, int64_t part);

/// Bytes that a message should have on average for Landing::direct. A guess that is still to be
/// measured: a message of NCCL costs some microseconds, in which a GPU's memory reads and writes
/// about this much, and unpacking reads and writes every row once more.
inline constexpr int64_t kDirectBytes = int64_t{512} << 10;

/// Landing::direct where a message for each (source, owner's expert) would have at least
/// kDirectBytes on average over all ranks, else Landing::unpack. Follows from figures that all
/// ranks have alike. row_bytes: bytes of a row.
Landing choose_landing(const ExchangePlan& plan, int64_t row_bytes);

/// Bytes that a rank should receive on average for an exchange to come in two parts. A guess that
/// is still to be measured: a part costs some tens of microseconds, and half of what is left of the
/// exchange can hide behind experts.
inline constexpr int64_t kPartsBytes = int64_t{8} << 20;

/// Parts that an exchange is best cut into, 1 or 2. Follows from figures that all ranks have alike.
int choose_parts(const ExchangePlan& plan, int64_t row_bytes);

}  // namespace hashep
