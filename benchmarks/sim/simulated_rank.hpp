// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "hashep/node_map.hpp"

namespace hashep::bench {

/// What all ranks together have sent to ranks of other nodes.
struct SentMessages {
  int64_t messages = 0;
  int64_t bytes = 0;
};

/// Throws RunError where an MPI call has failed.
void check_mpi(int code, const char* call);

/// One simulated rank: what it does takes the simulated time that the platform file says, and its
/// messages travel through SimGrid. What they hold is of no interest: all ranks, which are one
/// process and one thread, share two buffers for them.
class SimulatedRank {
 public:
  /// What ranks of a node come to in the course of an exchange, in this order.
  enum Stage : int { kNearLanded, kLanded, kFarComputed, kComputed, kStages };

  /// Of MPI_COMM_WORLD. `nodes` must outlive it.
  explicit SimulatedRank(const NodeMap& nodes);

  int rank() const { return rank_; }
  int size() const { return size_; }
  const NodeMap& nodes() const { return nodes_; }

  /// Makes room for messages of so many bytes. While no message is under way.
  static void reserve(int64_t bytes);

  /// Time goes by for `bytes` that are copied within this rank's memory, or written to or read from
  /// other ranks' memory on this node; for experts and the like, `seconds`.
  void pass_copy(int64_t bytes) const;
  void pass_node(int64_t bytes) const;
  void pass_node_latency() const;
  /// For `bytes` written to or read from all ranks of this node in equal parts.
  void pass_spread(int64_t bytes) const;
  static void pass(double seconds);

  /// Polls `is_done` in simulated time, at ever longer intervals: sees it up to 0.2 us or 1/16 of
  /// the wait's length too late.
  static void wait_until(const std::function<bool()>& is_done);

  /// Begins to send; `synchronous`: complete once the receiver has it.
  MPI_Request send(int64_t bytes, int peer, int tag, bool synchronous) const;
  MPI_Request receive(int64_t bytes, int peer, int tag) const;
  /// Whether it is complete; `bytes`, where not -1, are what it must have received.
  bool is_complete(MPI_Request& request, int64_t bytes = -1);
  void wait(MPI_Request& request, int64_t bytes);
  /// Bytes that came too few, of this rank's messages so far.
  int64_t missing_bytes() const { return missing_bytes_; }

  /// Counts what all ranks send to other nodes from now on: for one rank alone, while none sends.
  static void count_sent_messages();
  static SentMessages sent_messages();

  /// This rank has come to `stage`, once more; and whether all ranks of its node have as often.
  void reach(Stage stage);
  bool have_all_reached(Stage stage) const;

  /// Ranks begin at one instant, however unevenly a barrier lets them go. Collective.
  void begin_together();
  /// Microseconds since, of the slowest rank, on all ranks. Collective.
  double end_together();
  int64_t sum(int64_t value) const;

 private:
  double property(const char* name) const;

  const NodeMap& nodes_;
  int rank_ = 0;
  int size_ = 1;
  size_t node_ = 0;
  double copy_bytes_per_s_ = 0.0;
  double node_bytes_per_s_ = 0.0;
  double node_latency_s_ = 0.0;
  double ranks_per_node_ = 0.0;
  double begin_ = 0.0;
  int64_t missing_bytes_ = 0;
  std::array<int64_t, kStages> reached_{};
};

}  // namespace hashep::bench
