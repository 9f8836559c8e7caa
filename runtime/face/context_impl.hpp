// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "comm/thrown_on_all_ranks.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"
#include "hashep/context.hpp"
#include "hashep/error.hpp"

namespace hashep {

/// What a Context holds, and what the Stacks that were made with it keep. Collective to make and to
/// drop.
class Context::Impl {
 public:
  Impl(MPI_Comm comm, ContextOptions options);
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  const Communicator& comm() const { return parts_->comm; }
  Watch& watch() { return parts_->watch; }
  const Topology& topology() const { return *parts_->topology; }
  const ContextOptions& options() const { return options_; }

  /// Whether all ranks are in the same place: no exchange was given up.
  bool is_in_step() const noexcept { return in_step_; }
  /// Does `work`. Where it throws what other ranks may not have met, ranks are in different places
  /// from then on, and what was made with the Context can be used no more.
  template <typename Work>
  decltype(auto) in_step(const Work& work) {
    if (!in_step_) {
      throw RunError(
          "an earlier call failed while ranks were in it: neither the Context nor what was made "
          "with it can be used");
    }
    try {
      return work();
    } catch (const ThrownOnAllRanks&) {
      throw;
    } catch (...) {
      in_step_ = false;
      throw;
    }
  }

  /// See Context::leave.
  void leave(const std::string& reason);

  /// For who drops what ranks share: waits for all of them to come to drop it too, so that what a
  /// rank still sends finds no communicator that was made since with the number of one of these.
  /// False where some do not come: until the deadline, or, where an error unwinds this rank that
  /// others may not have met, for a moment.
  bool all_drop() noexcept;

 private:
  void agree_on_options();

  /// Objects that are made one on the other.
  struct Parts {
    Parts(MPI_Comm parent, double deadline, const volatile int* stop_signal)
        : comm(parent), parting(comm.get()), watch(comm, deadline, stop_signal) {}
    Communicator comm;
    Communicator parting;  // for all_drop alone, as ranks may be in other calls meanwhile
    Watch watch;
    std::optional<Topology> topology;
  };

  ContextOptions options_;
  std::optional<Parts> parts_;
  bool in_step_ = true;
  bool apart_ = false;  // others did not come to drop what they share
};

}  // namespace hashep
