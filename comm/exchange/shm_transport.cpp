// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/shm_transport.hpp"

#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {

ShmTransport::ShmTransport(const Topology& topology, int ep_rank, Watch& watch, int threads)
    : threads_(threads),
      flags_(topology.node, topology.nodes.ranks_of(0), watch),
      rows_(topology.node, topology.nodes, ep_rank, watch) {}

void ShmTransport::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size) {
  rows_.reserve(plans, dtype, hidden_size);
  for (const ExchangePlan& plan : plans) places_.reserve(static_cast<size_t>(plan.num_experts));
}

MatrixView ShmTransport::dispatch(const ExchangePlan& plan, ConstMatrixView x) {
  rows_.find_places(plan, places_);
  ++exchange_;
  flags_.wait(Mark::fetched, exchange_ - 1);  // the buffers are free again
  scatter_rows(x, {plan.experts, plan.send_rows, plan.top_k, places_}, rows_.are_streamed(plan),
               threads_);
  flags_.set(Mark::landed, exchange_);
  flags_.wait(Mark::landed, exchange_);
  return rows_.own(plan);
}

void ShmTransport::combine(const ExchangePlan& plan, std::span<const float> weights,
                           ConstMatrixView shared, MatrixView y) {
  flags_.set(Mark::computed, exchange_);
  flags_.wait(Mark::computed, exchange_);
  combine_rows({.places = places_,
                .experts = plan.experts,
                .row_of = plan.send_rows,
                .top_k = plan.top_k,
                .weights = weights,
                .shared = shared,
                .stream = rows_.are_streamed(plan)},
               y, threads_);
  flags_.set(Mark::fetched, exchange_);
}

}  // namespace hashep
