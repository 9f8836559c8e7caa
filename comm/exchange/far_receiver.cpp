// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/far_receiver.hpp"

#include <algorithm>
#include <cstring>

#include "comm/exchange/cross_messages.hpp"
#include "core/narrow.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/stream_copy.hpp"

namespace hashep {

void FarReceiver::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  for (const ExchangePlan& plan : plans) {
    const auto& incoming = plan.across.incoming;
    sources_.resize(incoming.size());
    summed_rows_.reserve(plan.top_k);
    int64_t rows = 0;
    int64_t results = 0;
    for (size_t i = 0; i < incoming.size(); ++i) {
      const NodePlan::Incoming& in = incoming[i];
      rows += in.num_rows;
      results += in.num_returns;
      sources_[i].stream.reserve(std::max(in.num_rows, in.num_returns), row_bytes);
      sources_[i].routes.reserve(in.num_routes);
      sources_[i].next_rows.reserve(in.landing_rows.size());
      if (plan.across.reduces) sources_[i].weights.reserve(in.num_routes);
    }
    buffer_.reserve(std::max(rows, results) * row_bytes);
  }
}

void FarReceiver::open_streams(const ExchangePlan& plan, int tag, MPI_Datatype row_type) {
  int64_t first = 0;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const NodePlan::Incoming& in = plan.across.incoming[i];
    const int64_t count = tag == kRowsTag ? in.num_rows : in.num_returns;
    const MatrixView rows = buffer_.matrix(dtype_, first + count, hidden_size_);
    sources_[i].stream.open({comm_.get(), in.source, tag}, row_type, rows.slice(first, count));
    sources_[i].next_rows = in.landing_rows;
    sources_[i].next_route = 0;
    sources_[i].extra = MPI_REQUEST_NULL;
    first += count;
  }
}

void FarReceiver::begin_rows(const ExchangePlan& plan, MPI_Datatype row_type) {
  open_streams(plan, kRowsTag, row_type);
  for (size_t i = 0; i < sources_.size(); ++i) {
    const NodePlan::Incoming& in = plan.across.incoming[i];
    sources_[i].routes.resize(in.num_routes);
    if (in.num_routes == 0) continue;
    check_mpi(
        MPI_Irecv(sources_[i].routes.data(), narrow<int>(in.num_routes, "routes of a message"),
                  MPI_UINT16_T, in.source, kRoutesTag, comm_.get(), &sources_[i].extra),
        "MPI_Irecv");
    sources_[i].stream.receive_all();
  }
}

std::byte* FarReceiver::next_place(const ExchangePlan& plan, Source& source) {
  const NodePlan::Route route = source.routes[source.next_route++];
  const auto slot = static_cast<size_t>(route & ~NodePlan::kLastRoute);
  // Routes come over the wire: a wrong one must not reach memory.
  if (slot >= source.next_rows.size()) {
    throw RunError("rank " + std::to_string(source.stream.peer()) + " sent a row for expert " +
                   std::to_string(slot) + " of a node that has " +
                   std::to_string(source.next_rows.size()));
  }
  const int32_t expert = plan.across.node_experts[slot];
  const int32_t owner = plan.expert_ranks[expert];
  const int64_t row = source.next_rows[slot]++;
  if (row >= plan.rank_rows[owner]) {
    throw RunError("rank " + std::to_string(source.stream.peer()) + " sent more rows for expert " +
                   std::to_string(expert) + " than it announced");
  }
  return node_rows_.rows_of(owner) + row * hidden_size_ * dtype_size(dtype_);
}

bool FarReceiver::land_rows(const ExchangePlan& plan, bool stream) {
  const int64_t row_bytes = hidden_size_ * dtype_size(dtype_);
  bool all = true;
  for (Source& source : sources_) {
    if (source.stream.was_complete()) continue;
    if (!is_done(source.extra)) {
      all = false;
      continue;
    }
    while (const auto message = source.stream.take_arrived()) {
      for (int64_t row = message->begin; row < message->end; ++row) {
        const std::byte* const from = source.stream.rows().row(row);
        for (bool is_last = false; !is_last;) {
          is_last = (source.routes.at(source.next_route) & NodePlan::kLastRoute) != 0;
          copy_row(next_place(plan, source), from, row_bytes, stream);
        }
      }
    }
    all = all && source.stream.was_complete();
  }
  if (stream) stream_fence();
  return all;
}

void FarReceiver::begin_results(const ExchangePlan& plan, MPI_Datatype row_type) {
  open_streams(plan, kResultsTag, row_type);
  if (!plan.across.reduces) return;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const NodePlan::Incoming& in = plan.across.incoming[i];
    sources_[i].weights.resize(in.num_routes);
    if (in.num_routes == 0) continue;
    check_mpi(
        MPI_Irecv(sources_[i].weights.data(), narrow<int>(in.num_routes, "weights of a message"),
                  MPI_FLOAT, in.source, kWeightsTag, comm_.get(), &sources_[i].extra),
        "MPI_Irecv");
  }
}

void FarReceiver::pack_results(const ExchangePlan& plan, Source& source, MatrixView rows) {
  for (int64_t row = 0; row < rows.rows; ++row) {
    std::memcpy(rows.row(row), next_place(plan, source), rows.row_bytes());
  }
}

void FarReceiver::pack_sums(const ExchangePlan& plan, Source& source, MatrixView rows) {
  for (int64_t row = 0; row < rows.rows; ++row) {
    const size_t first = source.next_route;
    summed_rows_.clear();
    for (bool is_last = false; !is_last;) {
      is_last = (source.routes.at(source.next_route) & NodePlan::kLastRoute) != 0;
      summed_rows_.push_back(next_place(plan, source));
    }
    sum_rows(summed_rows_, std::span(source.weights).subspan(first, summed_rows_.size()), dtype_,
             hidden_size_, rows.row(row));
  }
}

bool FarReceiver::send_results(const ExchangePlan& plan) {
  bool all = true;
  for (Source& source : sources_) {
    const bool can_sum = is_done(source.extra);
    const auto message = source.stream.unsent();
    if (message && can_sum) {
      const MatrixView rows = source.stream.rows().slice(message->begin, message->size());
      if (plan.across.reduces) {
        pack_sums(plan, source, rows);
      } else {
        pack_results(plan, source, rows);
      }
      source.stream.send_next();
    }
    all = source.stream.is_complete() && all;
  }
  return all;
}

int64_t FarReceiver::complete_rows() const {
  int64_t rows = 0;
  for (const Source& source : sources_) rows += source.stream.complete_rows();
  return rows;
}

std::string FarReceiver::missing() const {
  for (const Source& source : sources_) {
    if (!source.stream.was_complete()) return "rank " + std::to_string(source.stream.peer());
  }
  return "";
}

}  // namespace hashep
