// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/far_sender.hpp"

#include <algorithm>
#include <cstring>

#include "comm/exchange/cross_messages.hpp"
#include "core/narrow.hpp"

namespace hashep {
void FarSender::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  for (const ExchangePlan& plan : plans) {
    const auto& outgoing = plan.across.outgoing;
    nodes_.resize(outgoing.size());
    int64_t rows = 0;
    for (size_t i = 0; i < outgoing.size(); ++i) {
      rows += outgoing[i].num_rows();
      nodes_[i].stream.reserve(std::max(outgoing[i].num_rows(), outgoing[i].num_returns),
                               row_bytes);
      if (plan.across.reduces) nodes_[i].weights.reserve(outgoing[i].routes.size());
    }
    buffer_.reserve(std::max(rows, plan.across.total_returns()) * row_bytes);
  }
}

void FarSender::begin_rows(const ExchangePlan& plan, MPI_Datatype row_type) {
  int64_t first = 0;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const NodePlan::Outgoing& out = plan.across.outgoing[i];
    MatrixView rows = buffer_.matrix(dtype_, first + out.num_rows(), hidden_size_);
    rows = rows.slice(first, out.num_rows());
    first += out.num_rows();
    nodes_[i].stream.open({comm_.get(), out.peer, kRowsTag}, row_type, rows);
    nodes_[i].extra = MPI_REQUEST_NULL;
    if (out.routes.empty()) continue;
    check_mpi(MPI_Issend(out.routes.data(), narrow<int>(out.num_routes(), "routes of a message"),
                         MPI_UINT16_T, out.peer, kRoutesTag, comm_.get(), &nodes_[i].extra),
              "MPI_Issend");
  }
}

bool FarSender::send_next(const ExchangePlan& plan, ConstMatrixView x) {
  const auto row_bytes = static_cast<size_t>(x.row_bytes());
  bool found = false;
  std::byte* first = buffer_.data();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const NodePlan::Outgoing& out = plan.across.outgoing[i];
    if (const auto message = nodes_[i].stream.unsent()) {
      for (int64_t row = message->begin; row < message->end; ++row) {
        std::memcpy(first + static_cast<size_t>(row) * row_bytes, x.row(out.tokens[row]),
                    row_bytes);
      }
      nodes_[i].stream.send_next();
      found = true;
    }
    first += static_cast<size_t>(out.num_rows()) * row_bytes;
  }
  return found;
}

bool FarSender::is_settled() {
  bool all = true;
  for (Node& node : nodes_) {
    const bool rows_done = node.stream.is_complete();
    const bool extra_done = is_done(node.extra);
    all = all && rows_done && extra_done;
  }
  return all;
}

int64_t FarSender::complete_rows() const {
  int64_t rows = 0;
  for (const Node& node : nodes_) rows += node.stream.complete_rows();
  return rows;
}

void FarSender::send_weights(const ExchangePlan& plan, std::span<const float> weights) {
  const float equal_weight = 1.0f / static_cast<float>(plan.top_k);
  for (Node& node : nodes_) node.weights.clear();
  for (size_t a = 0; a < plan.experts.size(); ++a) {
    if (plan.experts[a] < 0) continue;
    const int32_t outgoing = plan.across.expert_outgoing[plan.experts[a]];
    if (outgoing < 0) continue;
    nodes_[outgoing].weights.push_back(weights.empty() ? equal_weight : weights[a]);
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const NodePlan::Outgoing& out = plan.across.outgoing[i];
    if (out.routes.empty()) continue;
    check_mpi(
        MPI_Issend(nodes_[i].weights.data(), narrow<int>(out.num_routes(), "weights of a message"),
                   MPI_FLOAT, out.peer, kWeightsTag, comm_.get(), &nodes_[i].extra),
        "MPI_Issend");
  }
}

void FarSender::begin_results(const ExchangePlan& plan, std::span<const float> weights,
                              MPI_Datatype row_type) {
  const MatrixView results = buffer_.matrix(dtype_, plan.across.total_returns(), hidden_size_);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const NodePlan::Outgoing& out = plan.across.outgoing[i];
    Node& node = nodes_[i];
    node.tokens_done = 0;
    node.routes_done = 0;
    node.stream.open({comm_.get(), out.peer, kResultsTag}, row_type,
                     results.slice(out.first_return, out.num_returns));
    node.stream.receive_all();
  }
  if (plan.across.reduces) send_weights(plan, weights);
}

int64_t FarSender::take_results(const ExchangePlan& plan) {
  int64_t ready = plan.tokens;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const NodePlan::Outgoing& out = plan.across.outgoing[i];
    Node& node = nodes_[i];
    is_done(node.extra);  // weights on their way; their sums are awaited anyway
    while (node.stream.take_arrived()) {
    }
    const int64_t arrived = node.stream.complete_rows();
    if (plan.across.reduces) {
      node.tokens_done = arrived;
    } else {
      for (; node.routes_done < arrived; ++node.routes_done) {
        const NodePlan::Route route = out.routes[node.routes_done];
        node.tokens_done += (route & NodePlan::kLastRoute) != 0 ? 1 : 0;
      }
    }
    if (node.tokens_done == out.num_rows()) continue;
    ready = std::min<int64_t>(ready, out.tokens[node.tokens_done]);
  }
  return ready;
}

std::string FarSender::missing() const {
  for (const Node& node : nodes_) {
    if (!node.stream.was_complete()) {
      return "rank " + std::to_string(node.stream.peer());
    }
  }
  return "";
}

}  // namespace hashep
