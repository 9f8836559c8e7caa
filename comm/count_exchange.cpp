// SPDX-License-Identifier: Apache-2.0
#include "comm/count_exchange.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "comm/agreement.hpp"
#include "comm/keep_until_exit.hpp"
#include "comm/thrown_on_all_ranks.hpp"
#include "core/narrow.hpp"

namespace hashep {
namespace {

constexpr int kSpins = 1;  // then a wait yields its core: plans are made ahead, and can wait

/// The fewest and the most ranks of a node.
std::pair<int, int> node_sizes(const NodeMap& nodes) {
  int fewest = nodes.ep_size();
  int most = 0;
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    const auto size = static_cast<int>(nodes.ranks_of(node).size());
    fewest = std::min(fewest, size);
    most = std::max(most, size);
  }
  return {fewest, most};
}

/// Each rank by itself.
NodeMap no_node_shared(int ep_size) {
  return nodes_of_equal_size(ep_size, 1);
}

}  // namespace

CountExchange::Gathered::~Gathered() {
  if (exchange_->flags_) exchange_->flags_->set(CountStage::read, exchange_->number_);
}

std::span<const CountWord> CountExchange::Gathered::words() const {
  return {exchange_->matrix_, static_cast<size_t>(exchange_->ep_size_ * exchange_->words_)};
}

CountExchange::CountExchange(const JobRanks& ranks, int64_t words)
    : watch_(ranks.watch),
      ep_rank_(ranks.comm.rank()),
      ep_size_(ranks.comm.size()),
      words_(words),
      row_(DType::i32, words) {
  const NodeMap& nodes = ranks.topology.nodes;
  share_memory(ranks);
  join_rails(ranks, flags_ || nodes.num_nodes() == nodes.ep_size()
                        ? nodes
                        : no_node_shared(nodes.ep_size()));
}

void CountExchange::share_memory(const JobRanks& ranks) {
  const NodeMap& nodes = ranks.topology.nodes;
  const Communicator& node = ranks.topology.node;
  const int64_t bytes = count_exchange_bytes(words_, ep_size_, 1);
  if (nodes.num_nodes() < nodes.ep_size()) {
    try {
      // Agreed on by all ranks, since a rank without shared memory takes in all rows.
      window_ = SharedWindow(node, ranks.watch, bytes, ranks.comm);
      window_.reserve(ranks.comm, ranks.watch, split_range(bytes, node.size(), node.rank()));
      flags_.emplace(node, nodes.ranks_of(nodes.node_of(ep_rank_)), ranks.watch, kNumCountStages,
                     kSpins, ranks.comm);
      matrix_ = reinterpret_cast<CountWord*>(window_.data());
      return;
    } catch (const CollectiveRunError&) {
      flags_.reset();
      window_ = SharedWindow();
    }
  }
  own_ = std::make_unique<CountWord[]>(static_cast<size_t>(ep_size_ * words_));
  matrix_ = own_.get();
}

void CountExchange::join_rails(const JobRanks& ranks, const NodeMap& nodes) {
  if (nodes.num_nodes() == 1) return;
  const auto [fewest, most] = node_sizes(nodes);
  const int local = nodes.local_index(ep_rank_);
  const auto here = static_cast<int>(nodes.ranks_of(nodes.node_of(ep_rank_)).size());
  const BlockingCallScope call(ranks.watch, "joining the ranks that exchange counts", true);
  // Of as many rails as the smallest node has ranks, a rank takes one at most: they are made at
  // once.
  for (int first = 0; first < most; first += fewest) {
    const int end = std::min(first + fewest, most);
    int own = first;
    while (own < end && own % here != local) ++own;
    std::optional<Communicator> comm =
        Communicator::of_part(ranks.comm, own < end ? std::optional(own) : std::nullopt);
    if (!comm) continue;
    std::vector<std::pair<int, int>> members;  // place and count, in rank order
    for (int node = 0; node < nodes.num_nodes(); ++node) {
      const auto of_node = nodes.ranks_of(node);
      const auto size = static_cast<int>(of_node.size());
      members.emplace_back(of_node[own % size], own < size ? 1 : 0);
    }
    std::ranges::sort(members);
    Rail& rail = rails_.emplace_back(Rail{std::move(*comm), {}, {}});
    for (const auto& [place, count] : members) {
      rail.places.push_back(place);
      rail.counts.push_back(count);
    }
  }
}

CountExchange::~CountExchange() {
  for (Rail& rail : rails_) watch_.forget(rail.request);
  if (is_pending() && !unwinds_alone() && mpi_is_up()) {
    try {
      for (Rail& rail : rails_) watch_.wait(rail.request);
    } catch (const std::exception&) {
      // A rank is missing, which whoever waits for it next will say.
    }
  }
  if (!is_pending()) return;
  // A collective cannot be cancelled, and MPI goes on reading and writing where it was told to.
  keep_until_exit(std::shared_ptr<CountWord[]>(std::move(own_)));
  window_.abandon();
  for (Rail& rail : rails_) rail.comm.abandon();
}

void CountExchange::start(std::span<const CountWord> mine) {
  if (static_cast<int64_t>(mine.size()) != words_) {
    throw RunError("planning exchange: expected " + std::to_string(words_) + " words, got " +
                   std::to_string(mine.size()));
  }
  if (flags_) flags_->wait(CountStage::read, number_);
  ++number_;
  std::copy(mine.begin(), mine.end(), matrix_ + ep_rank_ * words_);
  for (Rail& rail : rails_) {
    check_mpi(MPI_Iallgatherv(MPI_IN_PLACE, 0, row_.get(), matrix_, rail.counts.data(),
                              rail.places.data(), row_.get(), rail.comm.get(), &rail.request),
              "MPI_Iallgatherv");
    watch_.count_collective();
    watch_.poll_in_waits(rail.request, [this] { tell_progress(); });
  }
  tell_progress();
}

CountExchange::Gathered CountExchange::finish() {
  for (Rail& rail : rails_) {
    watch_.wait(rail.request);
    watch_.forget(rail.request);
  }
  tell_progress();
  if (flags_) flags_->wait(CountStage::gathered, number_);
  return Gathered(*this);
}

bool CountExchange::is_pending() const {
  return std::ranges::any_of(rails_,
                             [](const Rail& rail) { return rail.request != MPI_REQUEST_NULL; });
}

void CountExchange::tell_progress() {
  if (flags_ && !is_pending()) flags_->set(CountStage::gathered, number_);
}

}  // namespace hashep
