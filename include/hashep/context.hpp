// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <chrono>
#include <exception>
#include <memory>
#include <string>

#include "hashep/backend.hpp"
#include "hashep/failure_policy.hpp"
#include "hashep/node_map.hpp"

namespace hashep {

/// How the ranks of a Context work together. Alike on all ranks, but for what is said to be this
/// rank's own.
struct ContextOptions {
  /// How rows of hidden states move between ranks. `automatic`: through shared memory where all
  /// ranks run on one node, else that and messages between nodes.
  TransportKind transport = TransportKind::automatic;

  /// Where stacks compute. `cpu` alone can be had so far: `automatic` is the same, `cuda` is
  /// refused.
  Device device = Device::cpu;

  /// How long this rank waits for others in a call before the call throws RunError. It counts what
  /// the caller's other work takes on a rank that comes late, so it has to be longer than that.
  std::chrono::duration<double> deadline = std::chrono::seconds(120);

  /// The same while a Context or a Stack is made, as long as all ranks show signs of life: reading
  /// weights may take one rank longer than another.
  std::chrono::duration<double> setup_deadline = std::chrono::hours(1);

  /// Threads that this rank computes with (OpenMP); its own. 0: OMP_NUM_THREADS where it is set,
  /// else this rank's share of the cores that the ranks of its node may use.
  int threads = 0;

  /// What the program does where a rank is lost or stuck, beside the errors that calls throw; this
  /// rank's own. Null: nothing.
  std::shared_ptr<FailurePolicy> failure_policy = nullptr;

  /// A flag that a signal handler of the program sets to a signal's number, so that waits end soon
  /// after with RunError; this rank's own. Null: there is none. It must outlive the Context.
  const volatile int* stop_signal = nullptr;
};

/// The ranks that work together, where they run and how they talk: the first object of a program,
/// and what a Stack is made with. It owns MPI handles that it made (duplicates of the communicator)
/// and nothing of the process: it installs no signal handler, prints nothing and never ends the
/// program. Used by one thread at a time, the one that may call MPI.
///
/// The program initialises MPI before (MPI_Init_thread with at least MPI_THREAD_FUNNELED) and
/// finalises it after. Any number of Contexts may live one after the other or side by side; each
/// gives back all it took, after an error too:
/// - An error that one rank has found in a collective call, such as a bad id, is thrown by all of
///   them from that call; they may go on from there. is_reporter says which of them is to print it.
/// - An error that one rank meets alone (a view of a wrong shape) leaves the others waiting until
///   their deadline ends. A rank whose Context or Stack is destroyed by such an error waits up to
///   two seconds for the others to leave too; what is collective to give back is given back where
///   they do, and left to MPI where they do not.
class Context {
 public:
  /// Duplicates `comm`, finds out which ranks share a node and compares the ranks' versions and
  /// options. Throws InputError where MPI is not up, where an option is out of its range or the
  /// transport cannot work on these nodes, and where ranks disagree; RunError where a rank is
  /// missing. Collective over `comm`, which may be freed afterwards.
  explicit Context(MPI_Comm comm, ContextOptions options = {});

  /// Collective: waits for the other ranks to come here too, until the deadline. Stacks that were
  /// made with it stay valid, and keep what they need.
  ~Context();
  /// The other one is then of no use. Local.
  Context(Context&& other) noexcept;
  Context& operator=(Context&&) = delete;

  /// This rank, in the order of `comm`: [0, size). Local.
  int rank() const;
  /// How many ranks there are. Local.
  int size() const;

  /// Which ranks share a node. Local. Valid as long as the Context.
  const NodeMap& nodes() const;

  /// The options with what `automatic` and 0 stand for here. Local.
  const ContextOptions& options() const;

  /// Tells the other ranks that this one will not come to a collective call any more, as an error
  /// of the program's own ends it: their calls with this Context, and with what was made with it,
  /// throw RunError soon after, which says "rank N has left: REASON" (its first 500 bytes). Nothing
  /// collective can be done with it on this rank from then on; dropping it waits for the others for
  /// no more than two seconds. Local.
  void leave(const std::string& reason);

  /// Private to the library.
  class Impl;
  /// Private to the library.
  const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

/// Whether this rank is the one to print an error that ranks have thrown together, so that a job
/// says it once. True for an error that this rank has met alone. Local.
bool is_reporter(const std::exception& error);

}  // namespace hashep
