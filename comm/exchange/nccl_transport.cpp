// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/nccl_transport.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "comm/exchange/landing_places.hpp"
#include "comm/exchange/wait_for_stream.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {
namespace {

/// Which buffer the rows that a kernel unpacks come from, and return to.
enum Source : int32_t { kReceived, kOwn, kNumSources };

}  // namespace

class NcclTransport::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(NcclTransport& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    plan_ = &plan;
    top_k_ = plan.top_k;
    total_send_ = plan.total_send();
    total_recv_ = plan.total_recv();
    landing_ = transport_.landing_of(plan);
    num_parts_ = transport_.parts_of(plan);
    for (int part = 0; part < num_parts_; ++part) {
      make_schedule(plan, landing_, num_parts_, part, parts_[at(part)].schedule);
      parts_[at(part)].rows = part_rows(plan, num_parts_, part);
    }
  }

  void lay_out(ArrayLayout& arrays) override {
    experts_ = arrays.add(plan_->experts);
    send_rows_ = arrays.add(plan_->send_rows);
    const auto places = arrays.make<ExpertPlace>(plan_->num_experts, places_);
    if (arrays.is_real()) fill_places(places);
    parts_[0].places = places_;
    for (int part = 0; part < num_parts_ && num_parts_ > 1; ++part) {
      const auto of_part = arrays.make<ExpertPlace>(plan_->num_experts, parts_[at(part)].places);
      if (arrays.is_real()) keep_part(*plan_, num_parts_, part, places, of_part);
    }
    if (landing_ == Landing::direct) return;
    const auto sources = arrays.make<int32_t>(total_recv_, sources_);
    const auto source_rows = arrays.make<int64_t>(total_recv_, source_rows_);
    const auto source_places = arrays.make<ExpertPlace>(kNumSources, source_places_);
    if (!arrays.is_real()) return;
    source_places[kReceived] = {transport_.receive_buffer_.data(), 0};
    source_places[kOwn] = {transport_.send_buffer_.data(), 0};
    for (int part = 0; part < num_parts_; ++part) {
      const MessageSchedule& schedule = parts_[at(part)].schedule;
      fill_sources(schedule.unpack, kReceived, sources, source_rows);
      fill_sources(schedule.own, kOwn, sources, source_rows);
    }
  }

  std::span<const int32_t> experts() const override { return experts_; }
  int num_parts() const override { return num_parts_; }

  int part_of(Range rows) const override {
    int part = 0;
    while (part + 1 < num_parts_ && rows.end > parts_[at(part)].rows.end) ++part;
    return part;
  }

  /// All parts are sent at the first call: while messages of one are on their way, rows of the
  /// next are packed, and those of the one before unpacked.
  void dispatch(int part, ConstMatrixView x, DeviceStream stream) override {
    for (int next = 0; next < num_parts_ && part == 0; ++next) {
      scatter_rows(x, {experts_, send_rows_, top_k_, parts_[at(next)].places}, stream);
      const MessageSchedule& schedule = parts_[at(next)].schedule;
      move(next, schedule.sends, sent(), schedule.receives, landed(), stream);
    }
    await(part, stream);
    if (landing_ == Landing::direct) return;
    // Each row of the part is written once: a gather.
    const Range rows = parts_[at(part)].rows;
    combine_rows({.places = source_places_,
                  .experts = slice(sources_, rows),
                  .row_of = slice(source_rows_, rows),
                  .top_k = 1,
                  .weights = {},
                  .shared = {}},
                 all_rows().slice(rows.begin, rows.size()), stream);
  }

  void give_back(int part, std::span<const float>, DeviceStream stream) override {
    const MessageSchedule& schedule = parts_[at(part)].schedule;
    if (landing_ == Landing::unpack) {
      const Range rows = parts_[at(part)].rows;
      scatter_rows(all_rows().slice(rows.begin, rows.size()),
                   {slice(sources_, rows), slice(source_rows_, rows), 1, source_places_}, stream);
    }
    move(part, schedule.receives, landed(), schedule.sends, sent(), stream);
    for (int sent = 0; sent < num_parts_ && part + 1 == num_parts_; ++sent) await(sent, stream);
  }

  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
               DeviceStream stream) override {
    combine_rows({.places = places_,
                  .experts = experts_,
                  .row_of = send_rows_,
                  .top_k = top_k_,
                  .weights = weights,
                  .shared = shared},
                 y, stream);
  }

 private:
  struct Part {
    MessageSchedule schedule;
    Range rows;                           // expert-major
    std::span<const ExpertPlace> places;  // [num_experts] in GPU memory: places_ of its experts
    bool has_messages() const { return !schedule.sends.empty() || !schedule.receives.empty(); }
  };

  static size_t at(int part) { return static_cast<size_t>(part); }

  template <typename T>
  static std::span<const T> slice(std::span<const T> values, Range range) {
    return values.subspan(range.begin, range.size());
  }

  static void fill_sources(std::span<const RowBlock> blocks, Source source,
                           std::span<int32_t> sources, std::span<int64_t> rows) {
    for (const RowBlock& block : blocks) {
      for (int64_t i = 0; i < block.count; ++i) {
        const auto row = static_cast<size_t>(block.expert_row + i);
        sources[row] = source;
        rows[row] = block.message_row + i;
      }
    }
  }

  /// Where a row is written at the source, and its result read: the send buffer, but this rank's
  /// own rows stay in their final places where those of others land there too.
  void fill_places(std::span<ExpertPlace> places) const {
    for (size_t expert = 0; expert < places.size(); ++expert) {
      const bool stays =
          landing_ == Landing::direct && plan_->expert_ranks[expert] == plan_->ep_rank;
      places[expert] = stays ? landing_place(*plan_, expert, transport_.expert_rows_.data())
                             : ExpertPlace{transport_.send_buffer_.data(), 0};
    }
  }

  MatrixView rows_in(const NcclBuffer& buffer, int64_t rows) const {
    return buffer.matrix(transport_.dtype_, rows, transport_.hidden_size_);
  }
  MatrixView all_rows() const { return rows_in(transport_.expert_rows_, total_recv_); }
  MatrixView sent() const { return rows_in(transport_.send_buffer_, total_send_); }
  /// What messages are received into.
  MatrixView landed() const {
    return landing_ == Landing::direct ? all_rows()
                                       : rows_in(transport_.receive_buffer_, total_recv_);
  }

  /// The messages of a part, after what `stream` was asked for; where there are several parts, on
  /// the messages' stream.
  void move(int part, std::span<const Message> sends, MatrixView from,
            std::span<const Message> receives, MatrixView to, DeviceStream stream) {
    if (!parts_[at(part)].has_messages()) return;
    const bool apart = num_parts_ > 1;
    if (apart) {
      transport_.packed_[at(part)].record(stream);
      transport_.messages_.wait(transport_.packed_[at(part)]);
    }
    const DeviceStream on = apart ? transport_.messages_.get() : stream;
    NcclCommunicator& nccl = transport_.nccl_;
    nccl.exchange([&] {
      for (const Message& message : sends) {
        nccl.send(from.row(message.row), message.rows * from.row_bytes(), message.peer, on);
      }
      for (const Message& message : receives) {
        nccl.receive(to.row(message.row), message.rows * to.row_bytes(), message.peer, on);
      }
    });
    if (apart) transport_.arrived_[at(part)].record(on);
  }

  /// `stream` goes on when the messages that a part had last are there.
  void await(int part, DeviceStream stream) const {
    if (num_parts_ == 1 || !parts_[at(part)].has_messages()) return;
    hashep::wait_for(stream, transport_.arrived_[at(part)]);
  }

  NcclTransport& transport_;
  const ExchangePlan* plan_ = nullptr;
  int top_k_ = 1;
  int64_t total_send_ = 0;
  int64_t total_recv_ = 0;
  Landing landing_ = Landing::direct;
  int num_parts_ = 1;
  std::array<Part, kMaxParts> parts_;

  // In GPU memory.
  std::span<const int32_t> experts_;     // [tokens * top_k]
  std::span<const int64_t> send_rows_;   // [tokens * top_k]
  std::span<const ExpertPlace> places_;  // [num_experts]
  // Landing::unpack: where each expert-major row comes from. [total_recv]
  std::span<const int32_t> sources_;
  std::span<const int64_t> source_rows_;
  std::span<const ExpertPlace> source_places_;  // [kNumSources]
};

NcclTransport::NcclTransport(const Communicator& comm, Watch& watch, const ExchangeChoices& choices)
    : watch_(watch),
      choices_(choices),
      nccl_(comm, watch),
      expert_rows_(nccl_),
      send_buffer_(nccl_),
      receive_buffer_(nccl_) {
  std::vector<int> others(comm.size());
  std::iota(others.begin(), others.end(), 0);
  std::erase(others, comm.rank());
  nccl_.connect(others);
}

Landing NcclTransport::landing_of(const ExchangePlan& plan) const {
  return choices_.landing ? *choices_.landing : choose_landing(plan, row_bytes());
}

int NcclTransport::parts_of(const ExchangePlan& plan) const {
  return choices_.parts ? *choices_.parts : choose_parts(plan, row_bytes());
}

bool NcclTransport::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                            const BeforeFree& before_free) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  int64_t send = 0;
  int64_t recv = 0;
  int64_t unpacked = 0;
  for (const ExchangePlan& plan : plans) {
    send = std::max(send, plan.total_send());
    recv = std::max(recv, plan.total_recv());
    if (landing_of(plan) == Landing::unpack) unpacked = std::max(unpacked, plan.total_recv());
  }
  bool moved = expert_rows_.reserve(recv * row_bytes(), before_free);
  moved |= send_buffer_.reserve(send * row_bytes(), before_free);
  moved |= receive_buffer_.reserve(unpacked * row_bytes(), before_free);
  return moved;
}

void NcclTransport::wait_for(DeviceStream stream) {
  wait_for_stream(stream, watch_, [this] { check(); });
}

std::unique_ptr<Exchange> NcclTransport::make_exchange() {
  return std::make_unique<LayerExchange>(*this);
}

}  // namespace hashep
