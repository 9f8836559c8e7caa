// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/nccl_communicator.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep::bench {

/// How many rows go to and come from each rank ([ranks]), and where they stand ([ranks + 1], the
/// last is the sum).
struct MessageRows {
  std::vector<int64_t> send_counts;
  std::vector<int64_t> send_displs;
  std::vector<int64_t> recv_counts;
  std::vector<int64_t> recv_displs;

  static MessageRows of(const ExchangePlan& plan);
  /// `rows` to each rank.
  static MessageRows equal(int ranks, int64_t rows);

  int64_t total_send() const { return send_displs.back(); }
  int64_t total_recv() const { return recv_displs.back(); }
};

/// One group of NCCL's sends and receives, a message for each rank with rows, this one too:
/// sent -> received as in dispatch. In stream order. Collective.
void send_rows(NcclCommunicator& nccl, const MessageRows& rows, MatrixView sent,
               MatrixView received, DeviceStream stream);
/// The same backwards, as in combine.
void return_rows(NcclCommunicator& nccl, const MessageRows& rows, MatrixView received,
                 MatrixView returned, DeviceStream stream);

/// NCCL's own all-to-all, ncclAlltoAll, `bytes` to each rank; NCCL before 2.28 has none, there it
/// is one group of equal sends and receives. sent,
/// received: [ranks * bytes] of GPU memory. In stream order. Collective.
void nccl_all_to_all(NcclCommunicator& nccl, const std::byte* sent, std::byte* received,
                     int64_t bytes, DeviceStream stream);

}  // namespace hashep::bench
