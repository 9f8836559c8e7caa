// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/trained_experts.hpp"

#include <algorithm>

namespace hashep {
namespace {

FfnBiases biases_of(const FfnWeights& weights) {
  return {.in = weights.bias1.rows > 0, .out = weights.bias2.rows > 0};
}

}  // namespace

TrainedExperts::TrainedExperts(const ModelConfig& config, const HostExpertsOptions& options,
                               const TrainingOptions& training)
    : config_(config), options_(options), training_(training) {}

LayerWeightSink TrainedExperts::sink(int64_t layer, int64_t first_expert) {
  const auto set = [this](std::optional<TrainableFfn>& experts, const FfnShape& shape,
                          int64_t count, int64_t expert, const FfnWeights& weights) {
    if (!experts) {
      experts.emplace(FfnLayout{shape, biases_of(weights)}, options_.dtype, count, options_.threads,
                      options_.library);
    }
    experts->set_expert(expert, weights);
  };
  return {.routed =
              [this, set, first_expert](int64_t expert, const FfnWeights& weights) {
                set(routed_, config_.routed_shape(), options_.num_routed, first_expert + expert,
                    weights);
              },
          .shared =
              [this, set, layer](const FfnWeights& weights) {
                set(shared_, config_.shared_shape(), options_.num_layers, layer, weights);
              },
          .gate = {}};
}

void TrainedExperts::prepare_kernels(int64_t global_tokens) {
  if (routed_) routed_->prepare_all_tiles(global_tokens);
  if (shared_) shared_->prepare_aligned(shared_tile_rows(global_tokens));
}

void TrainedExperts::prepare(const ExchangePlan& plan, const BatchPlace& place) {
  if (routed_) routed_->prepare(plan.expert_offsets);
  if (!shared_) return;
  shared_->prepare_aligned(shared_tile_rows(place.global_tokens));
  shared_->prepare(block_edges(plan.tokens));
}

std::span<const int64_t> TrainedExperts::block_edges(int64_t tokens) {
  block_edges_.assign(1, 0);
  while (block_edges_.back() < tokens) {
    block_edges_.push_back(std::min(block_edges_.back() + training_.gradient_block, tokens));
  }
  return block_edges_;
}

void TrainedExperts::run_tiles(std::span<const ExpertTile> tiles, MatrixView rows,
                               int64_t first_expert, const FfnTape& tape) {
  if (routed_) routed_->forward(tiles, rows, first_expert, tape);
}

void TrainedExperts::run_shared(int64_t layer, ConstMatrixView x, const BatchPlace& place,
                                MatrixView out, const FfnTape& tape) {
  shared_->forward_aligned(x, place.first_token, shared_tile_rows(place.global_tokens), out, layer,
                           tape);
}

int64_t TrainedExperts::weight_bytes() const {
  int64_t bytes = 0;
  for (const auto* experts : {&routed_, &shared_}) {
    if (*experts) bytes += (*experts)->packed_bytes() + (*experts)->parameter_bytes();
  }
  return bytes;
}

int64_t TrainedExperts::scratch_bytes() const {
  return (routed_ ? routed_->scratch_bytes() : 0) + (shared_ ? shared_->scratch_bytes() : 0);
}

std::string_view TrainedExperts::implementation() const {
  if (routed_) return routed_->implementation();
  return shared_ ? shared_->implementation() : "no experts";
}

}  // namespace hashep
