// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/hier_transport.hpp"

#include <algorithm>

#include "comm/exchange/local_work.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {
namespace {

constexpr int kSpins = 1000;                       // polls of MPI before yielding: some 100 us
constexpr int64_t kSliceBytes = int64_t{1} << 20;  // of local work between looks at messages

int64_t slice_tokens(const ConstMatrixView& x) {
  return std::max<int64_t>(1, kSliceBytes / std::max<int64_t>(1, x.row_bytes()));
}

}  // namespace

HierTransport::HierTransport(const Communicator& comm, const Topology& topology, Watch& watch,
                             int threads)
    : comm_(comm.get()),
      topology_(topology),
      watch_(watch),
      threads_(threads),
      flags_(topology.node, topology.nodes.ranks_of(topology.nodes.node_of(comm.rank())), watch),
      rows_(topology.node, topology.nodes, comm.rank(), watch),
      outbound_(comm_),
      inbound_(comm_, rows_) {}

void HierTransport::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size) {
  if (!row_type_ || dtype != dtype_ || hidden_size != hidden_size_) {
    dtype_ = dtype;
    hidden_size_ = hidden_size;
    row_type_.emplace(dtype, hidden_size);
  }
  const auto other_nodes = static_cast<size_t>(topology_.nodes.num_nodes() - 1);
  for (const ExchangePlan& plan : plans) {
    if (plan.across.outgoing.size() != other_nodes) {
      throw RunError("transport hier: the plan was not made for these nodes");
    }
    places_.reserve(static_cast<size_t>(plan.num_experts));
    if (plan.across.reduces) weights_.reserve(plan.experts.size());
  }
  rows_.reserve(plans, dtype, hidden_size);
  outbound_.reserve(plans, dtype, hidden_size);
  inbound_.reserve(plans, dtype, hidden_size);
}

template <typename Step>
void HierTransport::work_until(const Step& step) {
  const auto missing = [this] {
    std::string peer = inbound_.missing();
    if (peer.empty()) peer = outbound_.missing();
    return peer.empty() ? flags_.missing(Mark::landed, exchange_)
                        : ", waiting for messages with " + peer;
  };
  int64_t progress = 0;
  bool all_done = false;
  const auto anything_new = [&] {
    all_done = step();
    const int64_t before = progress;
    progress = inbound_.complete_rows() + outbound_.complete_rows();
    return all_done || progress != before;
  };
  while (!all_done) watch_.wait_until(kSpins, anything_new, missing);
}

void HierTransport::scatter_locally(const ExchangePlan& plan, ConstMatrixView x, bool stream) {
  pass_node_rows(plan, topology_.nodes, x.row_bytes());
  const int64_t slice = slice_tokens(x);
  for (int64_t first = 0; first < x.rows; first += slice) {
    const int64_t count = std::min(slice, x.rows - first);
    const auto begin = static_cast<size_t>(first * plan.top_k);
    const auto size = static_cast<size_t>(count * plan.top_k);
    scatter_rows(x.slice(first, count),
                 {std::span(plan.experts).subspan(begin, size),
                  std::span(plan.send_rows).subspan(begin, size), plan.top_k, places_},
                 stream, threads_);
    inbound_.land_rows(plan, stream);
  }
}

MatrixView HierTransport::begin_dispatch(const ExchangePlan& plan, ConstMatrixView x) {
  rows_.find_places(plan, places_);
  ++exchange_;
  combine_begun_ = false;
  results_begun_ = false;
  inbound_.begin_rows(plan, row_type_->get());
  outbound_.begin_rows(plan, row_type_->get());
  while (outbound_.send_next(plan, x)) {
  }
  // The buffers are free again; messages go on meanwhile.
  flags_.wait(Mark::fetched, exchange_ - 1, [this] { outbound_.is_settled(); });
  scatter_locally(plan, x, rows_.are_streamed(plan));
  flags_.set(Mark::near_landed, exchange_);
  flags_.wait(Mark::near_landed, exchange_, [&] { poll_dispatch(plan); });
  return rows_.own(plan);
}

bool HierTransport::poll_dispatch(const ExchangePlan& plan) {
  const bool sent = outbound_.is_settled();
  if (!inbound_.land_rows(plan, rows_.are_streamed(plan)) || !sent) return false;
  flags_.set(Mark::landed, exchange_);
  return flags_.holds(Mark::landed, exchange_);
}

void HierTransport::finish_dispatch(const ExchangePlan& plan) {
  work_until([&] { return poll_dispatch(plan); });
}

MatrixView HierTransport::dispatch(const ExchangePlan& plan, ConstMatrixView x) {
  const MatrixView rows = begin_dispatch(plan, x);
  finish_dispatch(plan);
  return rows;
}

std::span<const float> HierTransport::find_weights_at_source(const ExchangePlan& plan,
                                                             std::span<const float> weights) {
  if (!plan.across.reduces) return weights;
  const float equal_weight = 1.0f / static_cast<float>(plan.top_k);
  weights_.clear();
  for (size_t a = 0; a < plan.experts.size(); ++a) {
    const int32_t expert = plan.experts[a];
    const bool is_sum =
        expert >= 0 && plan.across.expert_outgoing[static_cast<size_t>(expert)] >= 0;
    weights_.push_back(is_sum ? 1.0f : weights.empty() ? equal_weight : weights[a]);
  }
  return weights_;
}

void HierTransport::begin_combine(const ExchangePlan& plan, std::span<const float> weights) {
  combine_begun_ = true;
  given_weights_ = weights;
  weights_at_source_ = find_weights_at_source(plan, weights);
  combined_ = 0;
  flags_.set(Mark::far_computed, exchange_);
  poll_combine(plan);
}

void HierTransport::poll_combine(const ExchangePlan& plan) {
  if (!results_begun_) {
    if (!flags_.holds(Mark::far_computed, exchange_)) return;
    results_begun_ = true;
    outbound_.begin_results(plan, given_weights_, row_type_->get());
    inbound_.begin_results(plan, row_type_->get());
    for (size_t expert = 0; expert < plan.across.expert_outgoing.size(); ++expert) {
      if (plan.across.expert_outgoing[expert] >= 0) places_[expert] = {outbound_.results(), 0};
    }
  }
  inbound_.send_results(plan);
  outbound_.take_results(plan);
}

void HierTransport::combine_some(const ExchangePlan& plan, int64_t ready, ConstMatrixView shared,
                                 MatrixView y) {
  const int64_t slice = slice_tokens(y);
  if (ready - combined_ < slice && ready < plan.tokens) return;
  const int64_t count = std::min(slice, ready - combined_);
  const auto begin = static_cast<size_t>(combined_ * plan.top_k);
  const auto size = static_cast<size_t>(count * plan.top_k);
  const auto part = [&](auto values) { return values.subspan(begin, size); };
  const auto& row_of = plan.across.outgoing.empty() ? plan.send_rows : plan.across.return_rows;
  combine_rows(
      {.places = places_,
       .experts = part(std::span(plan.experts)),
       .row_of = part(std::span(row_of)),
       .top_k = plan.top_k,
       .weights = weights_at_source_.empty() ? weights_at_source_ : part(weights_at_source_),
       .shared = shared.rows == 0 ? shared : shared.slice(combined_, count),
       .stream = rows_.are_streamed(plan)},
      y.slice(combined_, count), threads_);
  pass_copy(plan.across.total_returns() * count / std::max<int64_t>(1, plan.tokens), y.row_bytes());
  combined_ += count;
}

void HierTransport::combine(const ExchangePlan& plan, std::span<const float> weights,
                            ConstMatrixView shared, MatrixView y) {
  if (!combine_begun_) begin_combine(plan, weights);
  flags_.set(Mark::computed, exchange_);
  flags_.wait(Mark::computed, exchange_, [&] { poll_combine(plan); });
  poll_combine(plan);  // all have computed: results are on their way now
  pass_node_rows(plan, topology_.nodes, y.row_bytes());
  work_until([&] {
    const bool sent = inbound_.send_results(plan);
    combine_some(plan, outbound_.take_results(plan), shared, y);
    return sent && combined_ == plan.tokens && outbound_.is_settled();
  });
  flags_.set(Mark::fetched, exchange_);
}

}  // namespace hashep
