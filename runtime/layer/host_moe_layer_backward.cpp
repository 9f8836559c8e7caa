// SPDX-License-Identifier: Apache-2.0
// Backward of a layer on a CPU rank: docs/training.md.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "comm/sum_over_ranks.hpp"
#include "hashep/error.hpp"
#include "kernels/gate/gate_gradient.hpp"
#include "runtime/layer/host_moe_layer.hpp"

namespace hashep {
namespace {

std::span<float> floats(Buffer& buffer, int64_t count) {
  return {reinterpret_cast<float*>(buffer.data()), static_cast<size_t>(count)};
}

}  // namespace

class HostMoeLayer::BackwardWork final : public HostLayerWork {
 public:
  BackwardWork(HostMoeLayer& layer, const LayerRows& gradients, LayerTape& tape,
               BackwardWorkspace& workspace, PhaseLog& log)
      : HostLayerWork(*layer.exchange_, layer.tiles_, gradients.x, gradients.y,
                      {.phases = {Phase::dispatch_backward, Phase::experts_backward,
                                  Phase::combine_backward, layer.layer_},
                       .threads = layer.options_.threads,
                       .overlap = layer.options_.overlap && !layer.is_dense()},
                      log),
        layer_(layer),
        dy_(gradients.x),
        plan_(*layer.plan_),
        dtype_(layer.options_.dtype),
        tape_(tape),
        workspace_(workspace),
        routed_(routed_rows()) {}

  /// Gradients are summed as they return; the weights of outputs go to their rows.
  std::span<const float> gate() override {
    if (has_gate()) {
      const PhaseLog::Scope scope(log(), Phase::dispatch_backward, layer_.layer_);
      exchange().send_values(floats(tape_.weights, assignments()),
                             floats(workspace_.row_weights, plan_.total_recv()));
    }
    return floats(workspace_.ones, assignments());
  }

  /// All that is left to do while gradients of inputs return: those of parameters, and what this
  /// rank's own tokens have from shared experts and the gate.
  ConstMatrixView shared_experts() override {
    {
      const PhaseLog::Scope scope(log(), Phase::experts_backward, layer_.layer_);
      add_routed_gradients();
    }
    if (!has_gate() && !has_shared()) return {};
    const PhaseLog::Scope scope(log(), Phase::shared_backward, layer_.layer_);
    const MatrixView base = workspace_.base.matrix(dtype_, dy_.rows, dy_.cols);
    if (has_shared()) {
      take_gradients(base);
      run_shared(base);
    } else {
      std::fill_n(base.data, base.bytes(), std::byte{0});
    }
    if (has_gate()) run_gate(base);
    return base;
  }

 private:
  bool has_gate() const { return layer_.has_gate_weights(); }
  bool has_shared() const { return layer_.trained_->has_shared(); }
  int64_t assignments() const { return std::ssize(plan_.experts); }
  ConstMatrixView input() const {
    return std::as_const(tape_.input).matrix(dtype_, dy_.rows, dy_.cols);
  }

  FfnBackwardRows routed_rows() {
    const FfnShape shape = layer_.config_.routed_shape();
    const int64_t rows = plan_.total_recv();
    const bool has_z = !layer_.trained_->training().recompute;
    FfnBackwardRows of{
        .gradient = layer_.is_dense() ? MatrixView{} : layer_.transport_.expert_rows(plan_),
        .x = tape_.x.matrix(dtype_, rows, shape.hidden_size),
        .z = (has_z ? tape_.z : workspace_.z).matrix(dtype_, rows, preactivation_size(shape)),
        .has_z = has_z,
        .kept = workspace_.kept.matrix(dtype_, rows, shape.hidden_size),
        .hidden = workspace_.hidden.matrix(dtype_, rows, shape.ffn_size),
        .weight = 1.0f / static_cast<float>(std::max(1, plan_.top_k))};
    if (!has_gate()) return of;
    of.weights = floats(workspace_.row_weights, rows).data();
    of.weight_gradients = floats(workspace_.row_weight_gradients, rows).data();
    return of;
  }

  void compute(std::span<const ExpertTile> tiles) override {
    if (TrainableFfn* const experts = layer_.trained_->routed()) {
      experts->backward(tiles, routed_, layer_.first_expert_);
    }
  }

  /// Messages move on between experts.
  void add_routed_gradients() {
    TrainableFfn* const experts = layer_.trained_->routed();
    if (experts == nullptr) return;
    const auto first_of_next = [&](size_t expert) {
      return expert + static_cast<size_t>(layer_.options_.threads);
    };
    const size_t count = layer_.local_experts_.size();
    for (size_t begin = 0; begin < count; begin = first_of_next(begin)) {
      layer_.gradient_sums_.clear();
      for (size_t expert = begin; expert < std::min(first_of_next(begin), count); ++expert) {
        const int64_t index = layer_.first_expert_ + static_cast<int64_t>(expert);
        layer_.gradient_sums_.push_back(
            {{plan_.expert_offsets[expert], plan_.expert_offsets[expert + 1]},
             experts->gradients(index).data()});
      }
      experts->add_gradients(layer_.gradient_sums_, routed_);
      exchange().progress();
    }
  }

  /// Gradients of the layer's outputs; 0 for padding, whose output is none.
  void take_gradients(MatrixView to) const {
    if (layer_.is_dense()) return layer_.write_dense(dy_, to);
    std::copy_n(dy_.data, dy_.bytes(), to.data);
    for (int64_t token = 0; token < dy_.rows; ++token) {
      if (plan_.experts[token * plan_.top_k] >= 0) continue;
      std::fill_n(to.row(token), to.row_bytes(), std::byte{0});
    }
  }

  /// base: gradients of outputs, then of inputs.
  void run_shared(MatrixView base) {
    TrainableFfn& shared = *layer_.trained_->shared();
    const FfnShape shape = layer_.config_.shared_shape();
    const bool has_z = !layer_.trained_->training().recompute;
    const FfnBackwardRows rows{
        .gradient = base,
        .x = input(),
        .z = (has_z ? tape_.shared_z : workspace_.shared_z)
                 .matrix(dtype_, base.rows, preactivation_size(shape)),
        .has_z = has_z,
        .kept = workspace_.shared_kept.matrix(dtype_, base.rows, base.cols),
        .hidden = workspace_.shared_hidden.matrix(dtype_, base.rows, shape.ffn_size)};
    const std::span<const int64_t> edges = layer_.trained_->block_edges(plan_.tokens);
    layer_.shared_tiles_.clear();
    for_each_tile(edges, [&](const ExpertTile& tile) {
      layer_.shared_tiles_.push_back({0, tile.first_row, tile.count});
    });
    shared.backward(layer_.shared_tiles_, rows, layer_.layer_);
    const std::span<float> gradient = floats(workspace_.block, shared.layout().size());
    for (size_t block = 0; block + 1 < edges.size(); ++block) {
      std::ranges::fill(gradient, 0.0f);
      const GradientSum sum{{edges[block], edges[block + 1]}, gradient.data()};
      shared.add_gradients(std::span(&sum, 1), rows);
      layer_.sums_.add_shared(shared.layout(), gradient.data(), layer_.options_.threads);
      exchange().progress();
    }
  }

  /// Adds to base what the gate has of it.
  void run_gate(MatrixView base) {
    const std::span<float> weight_gradients = floats(workspace_.weight_gradients, assignments());
    exchange().return_values(floats(workspace_.row_weight_gradients, plan_.total_recv()),
                             weight_gradients);
    if (layer_.has_gate()) {
      run_learned_gate(weight_gradients, base);
    } else {
      run_weighting_gate(weight_gradients, base);
    }
  }

  void run_learned_gate(std::span<const float> weight_gradients, MatrixView base) {
    LearnedGate& learned = *layer_.learned_;
    const ConstMatrixView gate = layer_.gate_.view;
    const MatrixView logits = tape_.logits.matrix(DType::f32, base.rows, gate.rows);
    learned.to_gradients(plan_.experts, weight_gradients, layer_.trained_->training(),
                         layer_.place_, logits);
    add_logit_input_gradients(gate, logits, base, layer_.options_.threads);
    const std::span<const int64_t> edges = layer_.trained_->block_edges(plan_.tokens);
    const MatrixView gradient = workspace_.block.matrix(DType::f32, gate.rows, gate.cols);
    for (size_t block = 0; block + 1 < edges.size(); ++block) {
      const int64_t count = edges[block + 1] - edges[block];
      learned.make_gradient(logits.slice(edges[block], count), input().slice(edges[block], count),
                            gradient);
      layer_.sums_.gate->add(gradient, layer_.options_.threads);
    }
  }

  void run_weighting_gate(std::span<const float> weight_gradients, MatrixView base) {
    const ConstMatrixView gate = layer_.gate_.view;
    const std::span<float> logit_gradients = floats(workspace_.logit_gradients, assignments());
    gate_logit_gradients(input(), gate, plan_.experts, plan_.top_k,
                         layer_.config_.routed_scaling_factor, weight_gradients, logit_gradients,
                         layer_.options_.threads);
    add_gate_input_gradients(gate, plan_.experts, plan_.top_k, logit_gradients, base,
                             layer_.options_.threads);
    const std::span<const int64_t> edges = layer_.trained_->block_edges(plan_.tokens);
    const MatrixView gradient = workspace_.block.matrix(DType::f32, gate.rows, gate.cols);
    for (size_t block = 0; block + 1 < edges.size(); ++block) {
      const int64_t first = edges[block];
      const int64_t count = edges[block + 1] - first;
      const auto part = [&](auto values) {
        return values.subspan(static_cast<size_t>(first * plan_.top_k),
                              static_cast<size_t>(count * plan_.top_k));
      };
      std::fill_n(gradient.data, gradient.bytes(), std::byte{0});
      add_gate_gradients(input().slice(first, count), part(std::span(plan_.experts)), plan_.top_k,
                         part(logit_gradients), gradient);
      layer_.sums_.gate->add(gradient, layer_.options_.threads);
    }
  }

  HostMoeLayer& layer_;
  ConstMatrixView dy_;
  const ExchangePlan& plan_;
  DType dtype_;
  LayerTape& tape_;
  BackwardWorkspace& workspace_;
  FfnBackwardRows routed_;
};

void HostMoeLayer::backward(const ExchangePlan& plan, const LayerRows& gradients, LayerTape& tape,
                            BackwardWorkspace& workspace, PhaseLog& log) {
  require_prepared(plan);
  if (trained_ == nullptr) throw RunError("backward of a layer that is not trained");
  workspace.reserve(config_, options_.dtype, trained_->training(), has_gate_weights(), plan);
  BackwardWork work(*this, gradients, tape, workspace, log);
  if (!is_dense()) return run_layer_work(work);
  const ConstMatrixView dx = work.shared_experts();
  std::copy_n(dx.data, dx.bytes(), gradients.y.data);
}

template <typename Body>
void HostMoeLayer::for_each_trained(const Body& body) {
  std::array<Parameter, 6> found;
  const auto visit_ffn = [&](TrainableFfn& ffn, int64_t index, int64_t expert) {
    const auto bytes_of = [](std::span<float> array) {
      return reinterpret_cast<std::byte*>(array.data());
    };
    const auto values = ffn.layout().views(bytes_of(ffn.values(index)));
    const auto gradients = ffn.layout().views(bytes_of(ffn.gradients(index)));
    size_t count = 0;
    const auto add = [&](const char* name, MatrixView value, MatrixView gradient) {
      if (value.rows > 0) found[count++] = {name, layer_, expert, value, gradient};
    };
    add("w1", values.w1, gradients.w1);
    add("w3", values.w3, gradients.w3);
    add("w2", values.w2, gradients.w2);
    add("bias1", values.bias1, gradients.bias1);
    add("bias3", values.bias3, gradients.bias3);
    add("bias2", values.bias2, gradients.bias2);
    body(std::span<const Parameter>(found).first(count), &ffn, index);
  };
  for (size_t i = 0; i < local_experts_.size(); ++i) {
    visit_ffn(*trained_->routed(), first_expert_ + static_cast<int64_t>(i), local_experts_[i]);
  }
  if (trained_->shared() != nullptr) visit_ffn(*trained_->shared(), layer_, -1);
  if (gate_.view.rows == 0) return;
  found[0] = {"gate", layer_, -1, gate_.owned.matrix(DType::f32, gate_.view.rows, gate_.view.cols),
              gate_gradient()};
  const bool has_bias = learned_ && learned_->has_bias();
  if (has_bias) {
    found[1] = {"gate_bias", layer_, -1, learned_->bias(), learned_->bias_gradient()};
  }
  body(std::span<const Parameter>(found).first(has_bias ? 2 : 1), nullptr, 0);
}

void HostMoeLayer::for_each_ffn(const std::function<void(std::span<const Parameter>)>& body) {
  for_each_trained(
      [&](std::span<const Parameter> parameters, TrainableFfn*, int64_t) { body(parameters); });
}

void HostMoeLayer::update(const std::function<void(std::span<const Parameter>)>& change) {
  for_each_trained([&](std::span<const Parameter> parameters, TrainableFfn* ffn, int64_t index) {
    change(parameters);
    if (ffn != nullptr) {
      ffn->pack(index);
    } else if (learned_) {
      learned_->pack(gate_.view);
    }
  });
}

void HostMoeLayer::clear_sums() {
  sums_.clear();
  if (learned_) learned_->clear_loads();
}

void HostMoeLayer::step_gate_bias() {
  if (learned_) learned_->step_bias(trained_->training().bias_step);
}

void HostMoeLayer::add_gate_losses(const ExchangePlan& plan, const LayerTape& tape,
                                   FixedPointRows& shares, FixedPointRows& squares) {
  const ConstMatrixView logits = tape.logits.matrix(DType::f32, plan.tokens, config_.num_experts);
  const std::span<const int64_t> edges = trained_->block_edges(plan.tokens);
  for (size_t block = 0; block + 1 < edges.size(); ++block) {
    const int64_t first = edges[block];
    const int64_t count = edges[block + 1] - first;
    learned_->add_losses(logits.slice(first, count),
                         std::span(plan.experts)
                             .subspan(static_cast<size_t>(first * plan.top_k),
                                      static_cast<size_t>(count * plan.top_k)),
                         shares, squares);
  }
}

void HostMoeLayer::sum_gradients(const Communicator& comm, Watch& watch) {
  const auto finish = [&](std::optional<FixedPointRows>& sum, MatrixView gradient) {
    if (!sum) return;
    sum_over_ranks(comm, watch, *sum);
    sum->add_to(gradient, options_.threads);
    sum->clear();
  };
  if (TrainableFfn* const shared = trained_->shared()) {
    const FfnLayout& layout = shared->layout();
    auto* const first = reinterpret_cast<std::byte*>(shared->gradients(layer_).data());
    const auto matrix = [&](int64_t begin, int64_t rows, int64_t cols) {
      return MatrixView{first + begin * dtype_size(DType::f32), DType::f32, rows, cols};
    };
    const int64_t d = layout.shape.hidden_size;
    finish(sums_.w_in, matrix(0, layout.in_size(), d));
    finish(sums_.w_out, matrix(layout.w_out(), d, layout.shape.ffn_size));
    finish(sums_.bias_in, matrix(layout.bias_in(), 1, layout.in_size()));
    finish(sums_.bias_out, matrix(layout.bias_out(), 1, d));
  }
  finish(sums_.gate, gate_gradient());
}

}  // namespace hashep
