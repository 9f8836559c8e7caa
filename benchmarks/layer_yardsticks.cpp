// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_yardsticks.hpp"

namespace hashep::bench {

LayerYardsticks::LayerYardsticks(const ModelConfig& config, const WeightSource& weights,
                                 std::span<const Placement> placements, int ep_rank,
                                 const ExecOptions& exec)
    : hidden_size_(config.hidden_size),
      num_layers_(config.num_layers),
      dtype_(exec.dtype),
      gemms_(config, weights, placements, ep_rank, exec),
      plain_(plain_copy(copied_, exec.threads)),
      streaming_(streaming_copy(copied_, exec.threads)) {}

void LayerYardsticks::set_copied(const ExchangePlan& plan) {
  copied_.reserve(plan.total_send(), dtype_, hidden_size_);
}

void LayerYardsticks::check(std::span<const ExchangePlan> layers) {
  gemms_.prepare(layers);
  gemms_.run();
  wrong_in_gemms_ += gemms_.wrong_rows();
  wrong_in_copies_ += plain_.wrong_in(0) + streaming_.wrong_in(0);
}

std::array<RankTimed, 3> LayerYardsticks::things(
    const std::function<std::span<const ExchangePlan>()>& layers) {
  const auto copies = [this](LocalCopy& copy) {
    return RankTimed{[this] { device_.scrub(); }, {[this, &copy] {
                       for (int64_t layer = 0; layer < num_layers_; ++layer) copy.run(0);
                     }}};
  };
  return {RankTimed{.prepare = [this, layers] { gemms_.prepare(layers()); },
                    .steps = {[this] { gemms_.run(); }},
                    .repeatable = false},
          copies(plain_), copies(streaming_)};
}

}  // namespace hashep::bench
