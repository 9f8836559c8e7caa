// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/hier_transport.hpp"

#include <algorithm>
#include <vector>

#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {
namespace {

enum Part : int { kNear, kFar, kRest, kParts };

constexpr int kSpins = 1000;                       // polls of MPI before yielding: some 100 us
constexpr int64_t kSliceBytes = int64_t{1} << 20;  // of local work between looks at messages

int64_t slice_tokens(const ConstMatrixView& x) {
  return std::max<int64_t>(1, kSliceBytes / std::max<int64_t>(1, x.row_bytes()));
}

}  // namespace

template <typename Step>
void HierTransport::work_until(const Step& step) {
  const auto missing = [this] {
    std::string peer = receiver_.missing();
    if (peer.empty()) peer = sender_.missing();
    return peer.empty() ? flags_.missing(ExchangeStage::landed, exchange_)
                        : ", waiting for messages with " + peer;
  };
  int64_t progress = 0;
  bool all_done = false;
  const auto anything_new = [&] {
    all_done = step();
    const int64_t before = progress;
    progress = receiver_.complete_rows() + sender_.complete_rows();
    return all_done || progress != before;
  };
  while (!all_done) watch_.wait_until(kSpins, anything_new, missing);
}

class HierTransport::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(HierTransport& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    plan_ = &plan;
    const NodePlan& across = plan.across;
    near_places_.resize(plan.num_experts);
    transport_.rows_.find_places(plan, near_places_);
    result_places_.assign(near_places_.begin(), near_places_.end());
    for (size_t expert = 0; expert < across.expert_outgoing.size(); ++expert) {
      if (across.expert_outgoing[expert] < 0) continue;
      result_places_[expert] = {transport_.sender_.results(), 0};
    }
    is_streamed_ = transport_.rows_.are_streamed(plan);
    if (across.reduces) weights_.reserve(plan.experts.size());
  }

  std::span<const int32_t> experts() const override { return plan_->experts; }
  int num_parts() const override { return plan_->across.outgoing.empty() ? 1 : kParts; }

  int part_of(Range rows) const override {
    const std::vector<Range>& far = plan_->across.far_rows;
    const auto first_after =
        std::upper_bound(far.begin(), far.end(), rows.begin,
                         [](int64_t row, const Range& others) { return row < others.end; });
    return first_after == far.end() || first_after->begin >= rows.end ? kNear : kFar;
  }

  bool lands(int part) const override { return part != kRest; }
  bool gives_back(int part) const override { return part != kNear || num_parts() == 1; }

  void dispatch(int part, ConstMatrixView x, DeviceStream) override {
    if (part == kNear) land_near_rows(x);
    if (part == kFar) transport_.work_until([this] { return land_far_rows(); });
  }

  bool progress() override {
    if (!returns_) return land_far_rows();
    move_results();
    return true;
  }

  void give_back(int part, std::span<const float> weights, DeviceStream) override {
    if (part == kFar || num_parts() == 1) return_far_rows(weights);
    if (part + 1 == num_parts()) flags().set(ExchangeStage::computed, number_);
  }

  void combine(std::span<const float>, ConstMatrixView shared, MatrixView y,
               DeviceStream) override {
    flags().wait(ExchangeStage::computed, number_, [this] { move_results(); });
    move_results();  // all have computed: results are on their way now
    transport_.work_until([&] {
      const bool sent = transport_.receiver_.send_results(*plan_);
      combine_some(transport_.sender_.take_results(*plan_), shared, y);
      return sent && combined_ == plan_->tokens && transport_.sender_.is_settled();
    });
    flags().set(ExchangeStage::fetched, number_);
  }

  void send_values(std::span<const float> values, std::span<float> rows) override {
    transport_.values_.send(*plan_, values, rows);
  }
  void return_values(std::span<const float> rows, std::span<float> values) override {
    transport_.values_.send_back(*plan_, rows, values);
  }

 private:
  NodeFlags& flags() { return transport_.flags_; }
  MPI_Datatype row_type() const { return transport_.row_type_->get(); }

  /// All rows for other nodes are sent, and those of this node put in their places.
  void land_near_rows(ConstMatrixView x) {
    FarSender& sender = transport_.sender_;
    number_ = ++transport_.exchange_;
    returns_ = false;
    are_results_begun_ = false;
    transport_.receiver_.begin_rows(*plan_, row_type());
    sender.begin_rows(*plan_, row_type());
    while (sender.send_next(*plan_, x)) {
    }
    // The buffers are free again; messages go on meanwhile.
    flags().wait(ExchangeStage::fetched, number_ - 1, [&] { sender.is_settled(); });
    scatter_locally(x);
    flags().set(ExchangeStage::near_landed, number_);
    flags().wait(ExchangeStage::near_landed, number_, [this] { land_far_rows(); });
    if (num_parts() == 1) transport_.work_until([this] { return land_far_rows(); });
  }

  /// Writes this rank's rows for its own node, taking in what arrives meanwhile.
  void scatter_locally(ConstMatrixView x) {
    const int64_t slice = slice_tokens(x);
    for (int64_t first = 0; first < x.rows; first += slice) {
      const int64_t count = std::min(slice, x.rows - first);
      const auto begin = static_cast<size_t>(first * plan_->top_k);
      const auto size = static_cast<size_t>(count * plan_->top_k);
      scatter_rows(x.slice(first, count),
                   {std::span(plan_->experts).subspan(begin, size),
                    std::span(plan_->send_rows).subspan(begin, size), plan_->top_k, near_places_},
                   is_streamed_, transport_.threads_);
      transport_.receiver_.land_rows(*plan_, is_streamed_);
    }
  }

  /// Moves messages on. True once all rows are there, on all ranks of the node.
  bool land_far_rows() {
    const bool sent = transport_.sender_.is_settled();
    if (!transport_.receiver_.land_rows(*plan_, is_streamed_) || !sent) return false;
    flags().set(ExchangeStage::landed, number_);
    return flags().is_reached(ExchangeStage::landed, number_);
  }

  void return_far_rows(std::span<const float> weights) {
    returns_ = true;
    given_weights_ = weights;
    weights_at_source_ = find_weights_at_source();
    combined_ = 0;
    flags().set(ExchangeStage::far_computed, number_);
    move_results();
  }

  /// Moves messages on, once all ranks of the node have outputs for other nodes.
  void move_results() {
    if (!are_results_begun_) {
      if (!flags().is_reached(ExchangeStage::far_computed, number_)) return;
      are_results_begun_ = true;
      transport_.sender_.begin_results(*plan_, given_weights_, row_type());
      transport_.receiver_.begin_results(*plan_, row_type());
    }
    transport_.receiver_.send_results(*plan_);
    transport_.sender_.take_results(*plan_);
  }

  /// The weights that the source applies: those given, but 1 for what was summed with weights.
  std::span<const float> find_weights_at_source() {
    if (!plan_->across.reduces) return given_weights_;
    const float equal_weight = 1.0f / static_cast<float>(plan_->top_k);
    weights_.clear();
    for (size_t a = 0; a < plan_->experts.size(); ++a) {
      const int32_t expert = plan_->experts[a];
      const bool is_sum = expert >= 0 && plan_->across.expert_outgoing[expert] >= 0;
      weights_.push_back(is_sum ? 1.0f : given_weights_.empty() ? equal_weight : given_weights_[a]);
    }
    return weights_;
  }

  /// Combines tokens whose results are all there: some, so that messages are looked after between.
  void combine_some(int64_t ready, ConstMatrixView shared, MatrixView y) {
    const int64_t slice = slice_tokens(y);
    if (ready - combined_ < slice && ready < plan_->tokens) return;
    const int64_t count = std::min(slice, ready - combined_);
    const auto begin = static_cast<size_t>(combined_ * plan_->top_k);
    const auto size = static_cast<size_t>(count * plan_->top_k);
    const auto part = [&](auto values) { return values.subspan(begin, size); };
    const NodePlan& across = plan_->across;
    const auto& row_of = across.outgoing.empty() ? plan_->send_rows : across.return_rows;
    combine_rows(
        {.places = result_places_,
         .experts = part(std::span(plan_->experts)),
         .row_of = part(std::span(row_of)),
         .top_k = plan_->top_k,
         .weights = weights_at_source_.empty() ? weights_at_source_ : part(weights_at_source_),
         .shared = shared.rows == 0 ? shared : shared.slice(combined_, count),
         .stream = is_streamed_},
        y.slice(combined_, count), transport_.threads_);
    combined_ += count;
  }

  HierTransport& transport_;
  const ExchangePlan* plan_ = nullptr;
  std::vector<ExpertPlace> near_places_;    // [num_experts]: where send_rows lead to
  std::vector<ExpertPlace> result_places_;  // [num_experts]: where return_rows lead to
  bool is_streamed_ = false;                // past the caches

  // Of the exchange that is under way.
  int64_t number_ = 0;
  bool returns_ = false;                      // outputs for other nodes are there
  bool are_results_begun_ = false;            // and on their way
  std::span<const float> given_weights_;      // as the caller gave them
  std::vector<float> weights_;                // [tokens * top_k], where results return summed
  std::span<const float> weights_at_source_;  // [tokens * top_k] or empty
  int64_t combined_ = 0;                      // tokens
};

HierTransport::HierTransport(const Communicator& comm, const Topology& topology, Watch& watch,
                             int threads)
    : comm_(comm.get()),
      topology_(topology),
      watch_(watch),
      threads_(threads),
      flags_(topology.node, topology.nodes.ranks_of(topology.nodes.node_of(comm.rank())), watch),
      rows_(topology.node, topology.nodes, comm.rank(), watch),
      sender_(comm_),
      receiver_(comm_, rows_),
      values_(comm_, watch_) {}

bool HierTransport::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                            const BeforeFree&) {
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
  }
  const std::byte* const results = sender_.results();
  const bool moved = rows_.reserve(plans, dtype, hidden_size);
  sender_.reserve(plans, dtype, hidden_size);
  receiver_.reserve(plans, dtype, hidden_size);
  return moved || sender_.results() != results;
}

std::unique_ptr<Exchange> HierTransport::make_exchange() {
  return std::make_unique<LayerExchange>(*this);
}

}  // namespace hashep
