// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/sim/simulated_rank.hpp"

#include <algorithm>
#include <cmath>
#include <simgrid/s4u/Actor.hpp>
#include <simgrid/s4u/Host.hpp>
#include <string>

#include "core/narrow.hpp"
#include "hashep/error.hpp"

namespace hashep::bench {
namespace {

constexpr double kStartDelay = 1.0;    // simulated seconds: longer than telling all ranks takes
constexpr double kFirstPause = 2e-7;   // simulated seconds
constexpr int64_t kEvenPauses = 16;    // before they grow
constexpr double kGrowth = 1.0 / 16;   // of a pause to the next: a wait ends at most so much late
constexpr double kLongestPause = 1.0;  // simulated seconds

// Of all ranks, which are one process.
std::vector<std::byte> sent_bytes;
std::vector<std::byte> received_bytes;
SentMessages sent_between_nodes;
std::vector<std::array<int64_t, SimulatedRank::kStages>> reached_on_node;  // sums over its ranks

}  // namespace

void check_mpi(int code, const char* call) {
  if (code != MPI_SUCCESS) throw RunError(std::string(call) + " failed: " + std::to_string(code));
}

SimulatedRank::SimulatedRank(const NodeMap& nodes)
    : nodes_(nodes),
      copy_bytes_per_s_(property("copy_bytes_per_s")),
      node_bytes_per_s_(property("node_bytes_per_s")),
      node_latency_s_(property("node_latency_s")),
      ranks_per_node_(property("ranks_per_node")) {
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  node_ = static_cast<size_t>(nodes.node_of(rank_));
  if (reached_on_node.empty()) reached_on_node.resize(nodes.num_nodes());
}

double SimulatedRank::property(const char* name) const {
  const char* text = simgrid::s4u::this_actor::get_host()->get_property(name);
  if (text == nullptr) {
    throw RunError(std::string("the platform's hosts have no property '") + name + "'");
  }
  return std::stod(text);
}

void SimulatedRank::reserve(int64_t bytes) {
  const auto size = std::max(sent_bytes.size(), static_cast<size_t>(bytes));
  sent_bytes.resize(size);
  received_bytes.resize(size);
}

void SimulatedRank::pass(double seconds) {
  if (seconds > 0.0) simgrid::s4u::this_actor::sleep_for(seconds);
}

// The machine's bandwidth counts what is read and what is written.
void SimulatedRank::pass_copy(int64_t bytes) const {
  pass(2.0 * static_cast<double>(bytes) / copy_bytes_per_s_);
}

void SimulatedRank::pass_node(int64_t bytes) const {
  pass(static_cast<double>(bytes) / node_bytes_per_s_);
}

void SimulatedRank::pass_node_latency() const {
  pass(node_latency_s_);
}

void SimulatedRank::pass_spread(int64_t bytes) const {
  const double all = static_cast<double>(bytes);
  pass(2.0 * all / ranks_per_node_ / copy_bytes_per_s_ +
       all * (ranks_per_node_ - 1.0) / ranks_per_node_ / node_bytes_per_s_);
}

void SimulatedRank::wait_until(const std::function<bool()>& is_done) {
  for (int64_t polls = 0; !is_done(); ++polls) {
    const auto grown = static_cast<double>(std::max<int64_t>(0, polls - kEvenPauses));
    pass(std::min(kLongestPause, kFirstPause * std::pow(1.0 + kGrowth, grown)));
  }
}

MPI_Request SimulatedRank::send(int64_t bytes, int peer, int tag, bool synchronous) const {
  if (nodes_.node_of(peer) != nodes_.node_of(rank_)) {
    ++sent_between_nodes.messages;
    sent_between_nodes.bytes += bytes;
  }
  MPI_Request request = MPI_REQUEST_NULL;
  const int count = narrow<int>(bytes, "bytes of a message");
  if (synchronous) {
    check_mpi(MPI_Issend(sent_bytes.data(), count, MPI_BYTE, peer, tag, MPI_COMM_WORLD, &request),
              "MPI_Issend");
  } else {
    check_mpi(MPI_Isend(sent_bytes.data(), count, MPI_BYTE, peer, tag, MPI_COMM_WORLD, &request),
              "MPI_Isend");
  }
  return request;
}

MPI_Request SimulatedRank::receive(int64_t bytes, int peer, int tag) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Irecv(received_bytes.data(), narrow<int>(bytes, "bytes of a message"), MPI_BYTE,
                      peer, tag, MPI_COMM_WORLD, &request),
            "MPI_Irecv");
  return request;
}

bool SimulatedRank::is_complete(MPI_Request& request, int64_t bytes) {
  if (request == MPI_REQUEST_NULL) return true;  // SMPI 3.32 leaves the flag of MPI_Test alone here
  int done = 0;
  MPI_Status status;
  check_mpi(MPI_Test(&request, &done, &status), "MPI_Test");
  if (done == 0) return false;
  int count = 0;
  if (bytes >= 0) check_mpi(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
  if (bytes >= 0) missing_bytes_ += bytes - count;
  return true;
}

void SimulatedRank::wait(MPI_Request& request, int64_t bytes) {
  MPI_Status status;
  check_mpi(MPI_Wait(&request, &status), "MPI_Wait");
  int count = 0;
  if (bytes >= 0) check_mpi(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
  if (bytes >= 0) missing_bytes_ += bytes - count;
}

void SimulatedRank::count_sent_messages() {
  sent_between_nodes = {};
}

SentMessages SimulatedRank::sent_messages() {
  return sent_between_nodes;
}

void SimulatedRank::reach(Stage stage) {
  ++reached_[stage];
  ++reached_on_node[node_][stage];
}

bool SimulatedRank::have_all_reached(Stage stage) const {
  const auto ranks = std::ssize(nodes_.ranks_of(nodes_.node_of(rank_)));
  return reached_on_node[node_][stage] >= reached_[stage] * ranks;
}

void SimulatedRank::begin_together() {
  // Blocking collectives: SimGrid's non-blocking ones send a message from each rank to each.
  check_mpi(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
  if (rank_ == 0) count_sent_messages();
  const double now = MPI_Wtime();
  check_mpi(MPI_Allreduce(&now, &begin_, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD), "MPI_Allreduce");
  begin_ += kStartDelay;
  simgrid::s4u::this_actor::sleep_until(begin_);
}

double SimulatedRank::end_together() {
  const double mine = MPI_Wtime() - begin_;
  check_mpi(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
  double slowest = 0.0;
  check_mpi(MPI_Allreduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD),
            "MPI_Allreduce");
  return 1e6 * slowest;
}

int64_t SimulatedRank::sum(int64_t value) const {
  int64_t all = 0;
  check_mpi(MPI_Allreduce(&value, &all, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD), "MPI_Allreduce");
  return all;
}

}  // namespace hashep::bench
