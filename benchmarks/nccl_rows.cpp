// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/nccl_rows.hpp"

#include <nccl.h>

#include "core/narrow.hpp"

namespace hashep::bench {
namespace {

void exchange(NcclCommunicator& nccl, const std::vector<int64_t>& send_counts,
              const std::vector<int64_t>& send_displs, ConstMatrixView from,
              const std::vector<int64_t>& recv_counts, const std::vector<int64_t>& recv_displs,
              MatrixView to, DeviceStream stream) {
  if (from.rows == 0 && to.rows == 0) return;
  nccl.exchange([&] {
    for (int peer = 0; peer < nccl.size(); ++peer) {
      const auto i = static_cast<size_t>(peer);
      if (send_counts[i] > 0) {
        nccl.send(from.row(send_displs[i]), send_counts[i] * from.row_bytes(), peer, stream);
      }
      if (recv_counts[i] > 0) {
        nccl.receive(to.row(recv_displs[i]), recv_counts[i] * to.row_bytes(), peer, stream);
      }
    }
  });
}

}  // namespace

MessageRows MessageRows::of(const ExchangePlan& plan) {
  return {.send_counts = plan.send_counts,
          .send_displs = plan.send_displs,
          .recv_counts = plan.recv_counts,
          .recv_displs = plan.recv_displs};
}

MessageRows MessageRows::equal(int ranks, int64_t rows) {
  const std::vector<int64_t> counts(static_cast<size_t>(ranks), rows);
  std::vector<int64_t> displs;
  for (int rank = 0; rank <= ranks; ++rank) displs.push_back(rank * rows);
  return {
      .send_counts = counts, .send_displs = displs, .recv_counts = counts, .recv_displs = displs};
}

void send_rows(NcclCommunicator& nccl, const MessageRows& rows, MatrixView sent,
               MatrixView received, DeviceStream stream) {
  exchange(nccl, rows.send_counts, rows.send_displs, sent, rows.recv_counts, rows.recv_displs,
           received, stream);
}

void return_rows(NcclCommunicator& nccl, const MessageRows& rows, MatrixView received,
                 MatrixView returned, DeviceStream stream) {
  exchange(nccl, rows.recv_counts, rows.recv_displs, received, rows.send_counts, rows.send_displs,
           returned, stream);
}

void nccl_all_to_all(NcclCommunicator& nccl, const std::byte* sent, std::byte* received,
                     int64_t bytes, DeviceStream stream) {
  if (bytes == 0) return;
  nccl.exchange([&] {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 0)
    check_nccl(ncclAlltoAll(sent, received, narrow<size_t>(bytes, "bytes to a rank"), ncclUint8,
                            nccl.get(), stream.handle),
               "ncclAlltoAll", nccl.get());
#else
    for (int peer = 0; peer < nccl.size(); ++peer) {
      nccl.send(sent + peer * bytes, bytes, peer, stream);
      nccl.receive(received + peer * bytes, bytes, peer, stream);
    }
#endif
  });
}

}  // namespace hashep::bench
