// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/shm_transport.hpp"

#include <vector>

#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {

class ShmTransport::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(ShmTransport& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    plan_ = &plan;
    places_.resize(plan.num_experts);
    transport_.rows_.find_places(plan, places_);
    is_streamed_ = transport_.rows_.are_streamed(plan);
  }

  std::span<const int32_t> experts() const override { return plan_->experts; }

  void dispatch(int, ConstMatrixView x, DeviceStream) override {
    NodeFlags& flags = transport_.flags_;
    const int64_t number = ++transport_.exchange_;
    flags.wait(ExchangeStage::fetched, number - 1);  // the buffers are free again
    scatter_rows(x, {plan_->experts, plan_->send_rows, plan_->top_k, places_}, is_streamed_,
                 transport_.threads_);
    flags.set(ExchangeStage::landed, number);
    flags.wait(ExchangeStage::landed, number);
  }

  void give_back(int, std::span<const float>, DeviceStream) override {
    transport_.flags_.set(ExchangeStage::computed, transport_.exchange_);
  }

  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
               DeviceStream) override {
    transport_.flags_.wait(ExchangeStage::computed, transport_.exchange_);
    combine_rows({.places = places_,
                  .experts = plan_->experts,
                  .row_of = plan_->send_rows,
                  .top_k = plan_->top_k,
                  .weights = weights,
                  .shared = shared,
                  .stream = is_streamed_},
                 y, transport_.threads_);
    transport_.flags_.set(ExchangeStage::fetched, transport_.exchange_);
  }

  void send_values(std::span<const float> values, std::span<float> rows) override {
    transport_.values_.send(*plan_, values, rows);
  }
  void return_values(std::span<const float> rows, std::span<float> values) override {
    transport_.values_.send_back(*plan_, rows, values);
  }

 private:
  ShmTransport& transport_;
  const ExchangePlan* plan_ = nullptr;
  std::vector<ExpertPlace> places_;  // [num_experts]
  bool is_streamed_ = false;         // past the caches
};

ShmTransport::ShmTransport(const Topology& topology, int ep_rank, Watch& watch, int threads)
    : threads_(threads),
      flags_(topology.node, topology.nodes.ranks_of(0), watch),
      rows_(topology.node, topology.nodes, ep_rank, watch),
      values_(topology.node, watch) {}

std::unique_ptr<Exchange> ShmTransport::make_exchange() {
  return std::make_unique<LayerExchange>(*this);
}

}  // namespace hashep
