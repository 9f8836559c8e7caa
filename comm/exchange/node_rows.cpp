// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/node_rows.hpp"

#include "comm/exchange/landing_places.hpp"
#include "kernels/rows/stream_copy.hpp"

namespace hashep {
namespace {

constexpr int64_t kLine = 64;  // bytes: rows of two ranks never share a cache line

}  // namespace

NodeRows::NodeRows(const Communicator& node, const NodeMap& nodes, int ep_rank, Watch& watch)
    : node_(node),
      nodes_(nodes),
      ranks_(nodes.ranks_of(nodes.node_of(ep_rank))),
      watch_(watch),
      used_(ranks_.size(), 0),
      needed_(ranks_.size(), 0),
      capacity_(ranks_.size(), 0),
      begin_(ranks_.size(), 0) {}

bool NodeRows::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  needed_ = used_;
  raise_to_received(plans, ranks_, hidden_size * dtype_size(dtype), needed_);
  for (int64_t& bytes : needed_) bytes = (bytes + kLine - 1) / kLine * kLine;
  if (needed_ == used_) return false;
  bool outgrows = false;  // what there is room for
  for (size_t i = 0; i < ranks_.size(); ++i) outgrows = outgrows || needed_[i] > capacity_[i];
  used_ = needed_;
  try {
    if (outgrows) make_window();
    const auto own = static_cast<size_t>(node_.rank());
    window_.reserve(node_, watch_, {begin_[own], begin_[own] + used_[own]});
  } catch (...) {
    used_.assign(used_.size(), 0);  // nothing may be touched
    capacity_.assign(capacity_.size(), 0);
    throw;
  }
  return outgrows;
}

void NodeRows::make_window() {
  int64_t total = 0;
  for (size_t i = 0; i < ranks_.size(); ++i) {
    const auto roomy = static_cast<int64_t>(static_cast<double>(used_[i]) * kHeadroom);
    capacity_[i] = (roomy + kLine - 1) / kLine * kLine;
    begin_[i] = total;
    total += capacity_[i];
  }
  window_ = SharedWindow();
  window_ = SharedWindow(node_, watch_, total);
}

std::byte* NodeRows::rows_of(int rank) const {
  return window_.data() + begin_[nodes_.local_index(rank)];
}

MatrixView NodeRows::own(const ExchangePlan& plan) const {
  return {rows_of(plan.ep_rank), dtype_, plan.total_recv(), hidden_size_};
}

void NodeRows::find_places(const ExchangePlan& plan, std::span<ExpertPlace> places) const {
  find_node_places(
      plan, nodes_, [this](int32_t rank) { return window_.data() + begin_[rank]; }, places);
}

bool NodeRows::are_streamed(const ExchangePlan& plan) const {
  int64_t rows = 0;
  for (const int32_t rank : ranks_) rows += plan.rank_rows[rank];
  const int64_t node_bytes = 2 * rows * hidden_size_ * dtype_size(dtype_);
  return worth_streaming(node_bytes / static_cast<int64_t>(ranks_.size()));
}

}  // namespace hashep
