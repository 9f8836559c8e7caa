// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/hier_device_transport.hpp"

#include <algorithm>

#include "comm/exchange/far_targets.hpp"
#include "comm/exchange/outbox_rows.hpp"
#include "comm/exchange/wait_for_stream.hpp"
#include "hashep/error.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {
namespace {

enum Part : int { kNear, kFar, kRest, kParts };

constexpr int64_t kTargetAlignment = 256;  // bytes

int64_t padded(int64_t bytes) {
  return (bytes + kTargetAlignment - 1) / kTargetAlignment * kTargetAlignment;
}

}  // namespace

class HierDeviceTransport::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(HierDeviceTransport& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    const auto num_nodes = static_cast<size_t>(transport_.topology_.nodes.num_nodes());
    if (plan.across.outgoing.size() + 1 != num_nodes || plan.across.reduces) {
      throw RunError("transport hier: the plan was not made for these nodes, or sums results");
    }
    plan_ = &plan;
    top_k_ = plan.top_k;
    far_rows_ = plan.across.far_rows;
    middle_ = plan.total_recv() / 2;
    begin_outgoing(plan);
    begin_incoming(plan);
  }

  void lay_out(ArrayLayout& arrays) override {
    experts_ = arrays.add(plan_->experts);
    send_rows_ = arrays.add(plan_->send_rows);
    result_rows_ = outgoing_.empty() ? send_rows_ : arrays.add(plan_->across.return_rows);
    const auto near = arrays.make<ExpertPlace>(plan_->num_experts, near_places_);
    const auto results = arrays.make<ExpertPlace>(plan_->num_experts, result_places_);
    const auto ranks = arrays.make<ExpertPlace>(transport_.rows_.node_size(), rank_places_);
    const auto boxes = arrays.make<ExpertPlace>(std::ssize(outgoing_), box_places_);
    if (arrays.is_real()) fill_places(near, results, ranks, boxes);
    leaving_.lay_out(*plan_, arrays);
    for (size_t i = 0; i < outgoing_.size(); ++i) {
      const auto block = arrays.make<std::byte>(outgoing_[i].targets.bytes(), outgoing_[i].block);
      if (arrays.is_real()) {
        fill_far_targets(*plan_, transport_.topology_.nodes, i, block.data());
      }
    }
  }

  std::span<const int32_t> experts() const override { return experts_; }
  int num_parts() const override { return kParts; }

  int part_of(Range rows) const override {
    const bool is_far = std::any_of(far_rows_.begin(), far_rows_.end(), [&](const Range& far) {
      return far.begin < rows.end && rows.begin < far.end;
    });
    if (is_far) return kFar;
    return rows.begin < middle_ ? kNear : kRest;
  }

  void dispatch(int part, ConstMatrixView x, DeviceStream stream) override {
    if (part == kNear) {
      transport_.signals_.begin(stream);
      scatter_rows(x, {experts_, send_rows_, top_k_, near_places_}, stream);
      transport_.signals_.meet(ExchangeStage::near_landed, stream);
    } else if (part == kFar) {
      if (outbox_rows_ > 0) {
        scatter_rows(x, {leaving_.boxes, leaving_.rows, 1, box_places_, leaving_.tokens}, stream);
      }
      exchange_rows(stream);
      for (const Messages& in : incoming_) land(in, stream);
      transport_.signals_.meet(ExchangeStage::landed, stream);
    }
  }

  void give_back(int part, std::span<const float>, DeviceStream stream) override {
    if (part == kFar) {
      transport_.signals_.meet(ExchangeStage::far_computed, stream);
      for (const Messages& in : incoming_) collect(in, stream);
      exchange_results(stream);
    } else if (part == kRest) {
      transport_.signals_.meet(ExchangeStage::computed, stream);
    }
  }

  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
               DeviceStream stream) override {
    combine_rows({.places = result_places_,
                  .experts = experts_,
                  .row_of = result_rows_,
                  .top_k = top_k_,
                  .weights = weights,
                  .shared = shared},
                 y, stream);
    transport_.signals_.set(ExchangeStage::fetched, stream);
  }

 private:
  /// Rows that go to, or come from, one rank of another node.
  struct Messages {
    int peer = 0;
    FarTargets targets;
    int64_t first_row = 0;             // in the outbox or inbox
    int64_t first_return = 0;          // of results in `returned_` or the inbox
    std::span<const std::byte> block;  // outgoing: targets, in GPU memory
    int64_t block_begin = 0;           // incoming: theirs, bytes into targets_
  };

  void begin_outgoing(const ExchangePlan& plan) {
    outgoing_.clear();
    int64_t rows = 0;
    for (size_t i = 0; i < plan.across.outgoing.size(); ++i) {
      const NodePlan::Outgoing& out = plan.across.outgoing[i];
      outgoing_.push_back({.peer = out.peer,
                           .targets = outgoing_targets(plan, i),
                           .first_row = rows,
                           .first_return = out.first_return,
                           .block = {}});
      rows += out.num_rows();
    }
    outbox_rows_ = rows;
    total_returns_ = plan.across.total_returns();
  }

  void begin_incoming(const ExchangePlan& plan) {
    incoming_.clear();
    int64_t rows = 0;
    int64_t returns = 0;
    int64_t bytes = 0;
    for (size_t i = 0; i < plan.across.incoming.size(); ++i) {
      const NodePlan::Incoming& in = plan.across.incoming[i];
      incoming_.push_back({.peer = in.source,
                           .targets = incoming_targets(plan, i),
                           .first_row = rows,
                           .first_return = returns,
                           .block = {},
                           .block_begin = bytes});
      rows += in.num_rows;
      returns += in.num_returns;
      bytes += padded(incoming_.back().targets.bytes());
    }
    inbox_rows_ = rows;
    inbox_returns_ = returns;
  }

  void fill_places(std::span<ExpertPlace> near, std::span<ExpertPlace> results,
                   std::span<ExpertPlace> ranks, std::span<ExpertPlace> boxes) const {
    const PeerRows& rows = transport_.rows_;
    rows.find_places(*plan_, near);
    for (size_t expert = 0; expert < results.size(); ++expert) {
      results[expert] =
          near[expert].data != nullptr ? near[expert] : ExpertPlace{transport_.returned_.data(), 0};
    }
    for (int rank = 0; rank < rows.node_size(); ++rank) {
      ranks[rank] = {rows.rows_of(rank), 0};
    }
    for (size_t i = 0; i < boxes.size(); ++i) {
      boxes[i] = {transport_.outbox_.data(), outgoing_[i].first_row};
    }
  }

  void exchange_rows(DeviceStream stream) {
    NcclCommunicator& nccl = transport_.nccl_;
    const MatrixView outbox = transport_.rows_in(transport_.outbox_, outbox_rows_);
    const MatrixView inbox = transport_.rows_in(transport_.inbox_, inbox_rows_);
    nccl.exchange([&] {
      for (const Messages& out : outgoing_) {
        if (out.targets.num_rows == 0) continue;
        nccl.send(outbox.row(out.first_row), out.targets.num_rows * outbox.row_bytes(), out.peer,
                  stream);
        nccl.send(out.block.data(), out.targets.bytes(), out.peer, stream);
      }
      for (const Messages& in : incoming_) {
        if (in.targets.num_rows == 0) continue;
        nccl.receive(inbox.row(in.first_row), in.targets.num_rows * inbox.row_bytes(), in.peer,
                     stream);
        nccl.receive(block_of(in), in.targets.bytes(), in.peer, stream);
      }
    });
  }

  void exchange_results(DeviceStream stream) {
    NcclCommunicator& nccl = transport_.nccl_;
    const MatrixView results = transport_.rows_in(transport_.inbox_, inbox_returns_);
    const MatrixView returned = transport_.rows_in(transport_.returned_, total_returns_);
    nccl.exchange([&] {
      for (const Messages& in : incoming_) {
        if (in.targets.num_returns == 0) continue;
        nccl.send(results.row(in.first_return), in.targets.num_returns * results.row_bytes(),
                  in.peer, stream);
      }
      for (const Messages& out : outgoing_) {
        if (out.targets.num_returns == 0) continue;
        nccl.receive(returned.row(out.first_return), out.targets.num_returns * returned.row_bytes(),
                     out.peer, stream);
      }
    });
  }

  /// Rows that came from `in` go to their final places on this node.
  void land(const Messages& in, DeviceStream stream) const {
    const MatrixView inbox = transport_.rows_in(transport_.inbox_, inbox_rows_);
    std::byte* const block = block_of(in);
    scatter_rows(inbox.slice(in.first_row, in.targets.num_rows),
                 {in.targets.owners(block), in.targets.rows(block), top_k_, rank_places_}, stream);
  }

  /// Their results are put together, in the order in which they return.
  void collect(const Messages& in, DeviceStream stream) const {
    const MatrixView results = transport_.rows_in(transport_.inbox_, inbox_returns_);
    std::byte* const block = block_of(in);
    combine_rows({.places = rank_places_,
                  .experts = in.targets.return_owners(block),
                  .row_of = in.targets.return_rows(block),
                  .top_k = 1,
                  .weights = {},
                  .shared = {}},
                 results.slice(in.first_return, in.targets.num_returns), stream);
  }

  std::byte* block_of(const Messages& in) const {
    return transport_.targets_.data() + in.block_begin;
  }

  HierDeviceTransport& transport_;
  const ExchangePlan* plan_ = nullptr;
  int top_k_ = 1;
  std::vector<Range> far_rows_;
  int64_t middle_ = 0;  // of the expert-major rows
  std::vector<Messages> outgoing_;
  std::vector<Messages> incoming_;
  int64_t outbox_rows_ = 0;
  int64_t inbox_rows_ = 0;
  int64_t inbox_returns_ = 0;
  int64_t total_returns_ = 0;

  // In GPU memory.
  std::span<const int32_t> experts_;            // [tokens * top_k]
  std::span<const int64_t> send_rows_;          // [tokens * top_k]
  std::span<const int64_t> result_rows_;        // [tokens * top_k]: NodePlan::return_rows
  std::span<const ExpertPlace> near_places_;    // [num_experts]: where send_rows lead to
  std::span<const ExpertPlace> result_places_;  // [num_experts]: where result_rows lead to
  std::span<const ExpertPlace> rank_places_;    // [node ranks]: their expert rows
  std::span<const ExpertPlace> box_places_;     // [other nodes]: their rows in the outbox
  OutboxRows leaving_;
};

HierDeviceTransport::HierDeviceTransport(const Communicator& comm, const Topology& topology,
                                         Watch& watch)
    : topology_(topology),
      watch_(watch),
      nccl_(comm, watch),
      rows_(topology, comm.rank(), watch),
      signals_(topology, comm.rank(), watch),
      outbox_(nccl_),
      inbox_(nccl_),
      returned_(nccl_) {
  const NodeMap& nodes = topology.nodes;
  const int own_node = nodes.node_of(comm.rank());
  std::vector<int> peers;
  for (int rank = 0; rank < comm.size(); ++rank) {
    const int node = nodes.node_of(rank);
    if (node == own_node) continue;
    const bool talks =
        nodes.peer_of(comm.rank(), node) == rank || nodes.peer_of(rank, own_node) == comm.rank();
    if (talks) peers.push_back(rank);
  }
  nccl_.connect(peers);
}

bool HierDeviceTransport::reserve(std::span<const ExchangePlan> plans, DType dtype,
                                  int64_t hidden_size, const BeforeFree& before_free) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  int64_t out = 0;
  int64_t in = 0;
  int64_t returned = 0;
  int64_t targets = 0;
  for (const ExchangePlan& plan : plans) {
    int64_t out_rows = 0;
    int64_t in_rows = 0;
    int64_t results = 0;
    int64_t target_bytes = 0;
    for (const auto& outgoing : plan.across.outgoing) out_rows += outgoing.num_rows();
    for (size_t i = 0; i < plan.across.incoming.size(); ++i) {
      in_rows += plan.across.incoming[i].num_rows;
      results += plan.across.incoming[i].num_returns;
      target_bytes += padded(incoming_targets(plan, i).bytes());
    }
    out = std::max(out, out_rows);
    in = std::max({in, in_rows, results});
    returned = std::max(returned, plan.across.total_returns());
    targets = std::max(targets, target_bytes);
  }
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  bool moved = rows_.reserve(plans, dtype, hidden_size, before_free);
  moved |= outbox_.reserve(out * row_bytes, before_free);
  moved |= inbox_.reserve(in * row_bytes, before_free);
  moved |= returned_.reserve(returned * row_bytes, before_free);
  moved |= targets_.reserve(targets, before_free);
  return moved;
}

void HierDeviceTransport::wait_for(DeviceStream stream) {
  wait_for_stream(stream, watch_, [this] { check(); });
}

void HierDeviceTransport::check() {
  signals_.check();
  nccl_.check();
}

void HierDeviceTransport::begin_abort() noexcept {
  signals_.stop();
  nccl_.begin_abort();
}

std::unique_ptr<Exchange> HierDeviceTransport::make_exchange() {
  return std::make_unique<LayerExchange>(*this);
}

}  // namespace hashep
