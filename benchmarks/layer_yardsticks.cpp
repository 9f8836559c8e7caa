// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/layer_yardsticks.hpp"

namespace hashep::bench {

LayerYardsticks::LayerYardsticks(const ModelConfig& config, const WeightSource& weights,
                                 std::span<const Placement> placements, const ExecOptions& exec,
                                 const Communicator& comm)
    : hidden_size_(config.hidden_size),
      num_layers_(config.num_layers),
      dtype_(exec.dtype),
      gemms_(config, weights, placements, comm.rank(), exec),
      raw_(comm, exec.threads) {}

void LayerYardsticks::set_copied(const ExchangePlan& plan) {
  copied_ = plan;
  raw_.reserve(copied_, dtype_, hidden_size_);
}

void LayerYardsticks::check(std::span<const ExchangePlan> layers) {
  gemms_.prepare(layers);
  gemms_.run();
  wrong_in_gemms_ += gemms_.wrong_rows();
  wrong_in_copies_ += raw_.wrong_in_copy(false) + raw_.wrong_in_copy(true);
}

std::array<RankTimed, 3> LayerYardsticks::things(
    const std::function<std::span<const ExchangePlan>()>& layers) {
  const auto copies = [this](void (RawExchange::*copy)()) {
    return RankTimed{[this] { scrubber_.run(); }, {[this, copy] {
                       for (int64_t layer = 0; layer < num_layers_; ++layer) (raw_.*copy)();
                     }}};
  };
  return {RankTimed{.prepare = [this, layers] { gemms_.prepare(layers()); },
                    .steps = {[this] { gemms_.run(); }},
                    .repeatable = false},
          copies(&RawExchange::copy_plain), copies(&RawExchange::copy_streaming)};
}

}  // namespace hashep::bench
