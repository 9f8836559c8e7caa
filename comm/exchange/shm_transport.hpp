// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/exchange/node_flags.hpp"
#include "comm/exchange/node_rows.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/exchange/value_messages.hpp"
#include "comm/topology.hpp"

namespace hashep {

/// Transport `shm`, for ranks of one node: no messages. Dispatch reads a rank's rows in order and
/// writes each once, straight to its final place in its owner's expert-major buffer; combine reads
/// the outputs where the experts left them, with the next token's rows asked for ahead, and writes
/// each token once. Bytes moved: (1 read + top_k writes, top_k reads + 1 write) * row bytes a
/// token; the bound is a copy at memory speed. Buffers: the rows received, and nothing else.
class ShmTransport final : public Transport {
 public:
  /// Collective over the ranks of `topology`, which are all of one node. `topology` and `watch`
  /// must outlive the transport.
  ShmTransport(const Topology& topology, int ep_rank, Watch& watch, int threads);

  std::string_view name() const override { return "shm"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree&) override {
    return rows_.reserve(plans, dtype, hidden_size);
  }
  MatrixView expert_rows(const ExchangePlan& plan) override { return rows_.own(plan); }
  std::unique_ptr<Exchange> make_exchange() override;
  int64_t buffer_bytes() const override { return rows_.own_bytes(); }
  int64_t shared_bytes() const override { return rows_.others_bytes(); }

 private:
  class LayerExchange;

  int threads_;
  NodeFlags flags_;
  NodeRows rows_;
  ValueMessages values_;
  int64_t exchange_ = 0;  // number of the exchange that is under way
};

}  // namespace hashep
