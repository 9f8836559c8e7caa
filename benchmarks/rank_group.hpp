// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// The first ranks of a job as a communicator of their own, while the other ranks sleep: node by
/// node, nodes and the ranks of each in ascending order, so that a group is on as few nodes as can
/// be. Members keep their order. Rank 0 is always one.
class RankGroup {
 public:
  /// `nodes` says where the ranks of `job` are. `job` and `watch` must outlive the group.
  /// Collective over `job`.
  RankGroup(const Communicator& job, const NodeMap& nodes, Watch& watch, int size);
  RankGroup(const RankGroup&) = delete;  // the watch refers to the group's communicator
  RankGroup& operator=(const RankGroup&) = delete;

  bool is_member() const { return own_.has_value(); }
  int size() const { return static_cast<int>(members_.size()); }
  /// The group's own. Members alone may ask.
  const Communicator& comm() const { return own_->comm; }
  Watch& watch() { return own_->watch; }
  const Topology& topology() const { return own_->topology; }

  /// Runs `work`, which is collective over the members, on them; the other ranks sleep, using
  /// hardly any of their core, until it is done. Where members throw a CollectiveInputError or
  /// CollectiveRunError, all ranks of the job do; other errors leave the members that meet them,
  /// and must end the job (run_on_ranks). An error of the group's Watch tells which ranks of the
  /// job its ranks are, where numbers differ. Collective over the job.
  void run(const std::function<void()>& work);

  /// A sign of life to the ranks that sleep: they give up where none has come for twice the
  /// deadline, members that wait for each other having given up before. Rank 0 is to call it at
  /// least once in a deadline; others may. Local.
  void show_life();

 private:
  using Clock = std::chrono::steady_clock;
  struct Own {
    Own(Communicator part, const Watch& job);
    Communicator comm;
    Watch watch;
    Topology topology;
  };

  void run_as_member(const std::function<void()>& work);
  void sleep_until_done();
  /// The tag of a sign of rank 0 that has come; 0: none, after a little sleep.
  int next_sign();
  void tell_others(int tag);
  /// Throws an error of the group's Watch with the group's ranks in terms of the job's.
  [[noreturn]] void translate(const GaveUp& error) const;

  const Communicator& job_;
  Watch& watch_;
  Communicator signs_;        // of life, on the job's ranks
  std::vector<int> members_;  // ranks of the job, ascending
  std::vector<int> others_;
  std::optional<Own> own_;  // of a member
  Clock::time_point last_sign_{};
};

}  // namespace hashep::bench
