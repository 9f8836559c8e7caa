// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "benchmarks/sim/simulated_exchange.hpp"

namespace hashep::bench {
namespace {

constexpr int kTag = 1;
constexpr size_t kWindow = 32;  // messages each way at once: more than latency / time per message

class FlatExchange final : public SimulatedExchange {
 public:
  FlatExchange(SimulatedRank& rank, const ExchangePlan& plan, int64_t row_bytes)
      : rank_(rank), plan_(plan), row_bytes_(row_bytes) {
    const int64_t most =
        std::max(*std::max_element(plan.send_counts.begin(), plan.send_counts.end()),
                 *std::max_element(plan.recv_counts.begin(), plan.recv_counts.end()));
    SimulatedRank::reserve(most * row_bytes);
  }

  void dispatch(int) override {
    rank_.pass_copy(plan_.total_send() * row_bytes_);
    exchange(plan_.send_counts, plan_.recv_counts);
    rank_.pass_copy(plan_.total_recv() * row_bytes_);
  }
  void give_back(int) override {}
  void combine() override {
    rank_.pass_copy(plan_.total_recv() * row_bytes_);
    exchange(plan_.recv_counts, plan_.send_counts);
    rank_.pass_copy(plan_.total_send() * row_bytes_);
  }

 private:
  struct Pending {
    MPI_Request request;
    int64_t bytes;  // to be received; -1: sent
  };

  /// A message to each rank that gets rows, the next higher rank first, and none to the others.
  /// Requests are waited for one by one: SimGrid's waits for many take the square of their number.
  void exchange(const std::vector<int64_t>& send_counts, const std::vector<int64_t>& recv_counts) {
    std::vector<Pending> pending;
    size_t complete = 0;
    const auto wait_down_to = [&](size_t count) {
      for (; pending.size() - complete > count; ++complete) {
        rank_.wait(pending[complete].request, pending[complete].bytes);
      }
    };
    for (int step = 1; step < rank_.size(); ++step) {
      const int target = (rank_.rank() + step) % rank_.size();
      const int source = (rank_.rank() + rank_.size() - step) % rank_.size();
      const int64_t in = recv_counts[source] * row_bytes_;
      const int64_t out = send_counts[target] * row_bytes_;
      if (in > 0) pending.push_back({rank_.receive(in, source, kTag), in});
      if (out > 0) pending.push_back({rank_.send(out, target, kTag, false), -1});
      wait_down_to(2 * kWindow);
    }
    wait_down_to(0);
  }

  SimulatedRank& rank_;
  const ExchangePlan& plan_;
  int64_t row_bytes_;
};

}  // namespace

std::unique_ptr<SimulatedExchange> make_flat_exchange(SimulatedRank& rank, const ExchangePlan& plan,
                                                      int64_t row_bytes) {
  return std::make_unique<FlatExchange>(rank, plan, row_bytes);
}

}  // namespace hashep::bench
