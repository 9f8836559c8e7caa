// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/cuda/cuda_moe_layer.hpp"

#include <algorithm>

#include "kernels/gate/gate_scores.hpp"
#include "kernels/rows/combine.hpp"
#include "runtime/layer/layer_work.hpp"

namespace hashep {
namespace {

/// Copies a matrix to the GPU and waits for it.
void upload_matrix(ConstMatrixView matrix, DeviceBuffer& to) {
  to.reserve(matrix.bytes());
  PinnedBuffer staging(matrix.bytes());
  std::copy_n(matrix.data, matrix.bytes(), staging.data());
  const CudaStream stream;
  copy_async(to.data(), staging.data(), matrix.bytes(), stream);
  stream.synchronize();
}

}  // namespace

class CudaMoeLayer::Work final : public LayerWork {
 public:
  Work(const CudaMoeLayer& layer, const DeviceLayerPlan& plan, const DeviceState& x,
       const DeviceWorkspace& workspace, GpuPhaseTimer& timer, const LayerStreams& streams)
      : layer_(layer),
        plan_(plan),
        exchange_(*plan.exchange),
        x_(x),
        workspace_(workspace),
        timer_(timer),
        streams_(streams) {}

  int num_parts() const override { return exchange_.num_parts(); }
  bool runs_beside_dispatch() const override { return true; }

  void dispatch(int part) override {
    const bool apart = streams_.are_apart();
    if (apart && part == 0) {
      streams_.events->ready.record(streams_.experts);
      wait_for(streams_.exchange, streams_.events->ready);
    }
    {
      const GpuPhaseTimer::Scope scope(timer_, Phase::dispatch, layer_.layer_, streams_.exchange,
                                       apart ? 1 : 0);
      exchange_.dispatch(part, x_.rows, streams_.exchange);
    }
    if (apart) streams_.events->landed[part].record(streams_.exchange);
  }

  std::span<const float> gate() override {
    const ModelConfig& config = layer_.config_;
    if (config.score != Score::sqrtsoftplus) return {};
    const GpuPhaseTimer::Scope scope(timer_, Phase::gate, layer_.layer_, streams_.experts);
    const std::span<const int32_t> experts = exchange_.experts();
    const std::span<float> weights(workspace_.weights.as<float>(), experts.size());
    const ConstMatrixView gate =
        layer_.gate_.matrix(DType::f32, config.num_experts, config.hidden_size);
    gate_weights(x_.rows, gate, experts, plan_.top_k, config.routed_scaling_factor, weights,
                 streams_.experts);
    return weights;
  }

  ConstMatrixView shared_experts() override {
    if (!layer_.experts_.shared) return {};
    const GpuPhaseTimer::Scope scope(timer_, Phase::shared_experts, layer_.layer_,
                                     streams_.experts);
    const MatrixView out = workspace_.shared.matrix(x_.tiles.dtype, x_.tiles.rows, x_.tiles.cols);
    layer_.experts_.shared->run(plan_.shared, 0, x_.tiles, out, streams_.experts);
    return {out.data + (x_.rows.data - x_.tiles.data), out.dtype, plan_.rows, out.cols};
  }

  void routed_experts(int part) override {
    if (streams_.are_apart()) {
      wait_for(streams_.experts, streams_.events->landed[part]);
    }
    const GpuPhaseTimer::Scope scope(timer_, Phase::experts, layer_.layer_, streams_.experts);
    layer_.experts_.routed.run(plan_.routed, part, plan_.expert_rows, plan_.expert_rows,
                               streams_.experts);
  }

  void give_back(int part, std::span<const float> weights) override {
    if (!exchange_.gives_back(part)) return;
    const bool apart = streams_.are_apart();
    if (apart) {
      const CudaEvent& computed = streams_.events->computed[part];
      computed.record(streams_.experts);
      wait_for(streams_.exchange, computed);
    }
    exchange_.give_back(part, weights, streams_.exchange);
    if (!apart || part + 1 < num_parts()) return;
    streams_.events->given_back.record(streams_.exchange);
    wait_for(streams_.experts, streams_.events->given_back);
  }

  void combine(std::span<const float> weights, ConstMatrixView shared) override {
    const GpuPhaseTimer::Scope scope(timer_, Phase::combine, layer_.layer_, streams_.experts);
    const bool residual = workspace_.output.capacity() > 0;
    const MatrixView y =
        residual ? workspace_.output.matrix(x_.rows.dtype, plan_.rows, x_.rows.cols) : x_.rows;
    exchange_.combine(weights, shared, y, streams_.experts);
    if (residual) add_rows(y, x_.rows, streams_.experts);
  }

 private:
  const CudaMoeLayer& layer_;
  const DeviceLayerPlan& plan_;
  Exchange& exchange_;
  const DeviceState& x_;
  const DeviceWorkspace& workspace_;
  GpuPhaseTimer& timer_;
  const LayerStreams& streams_;
};

CudaMoeLayer::CudaMoeLayer(const ModelConfig& config, int64_t layer,
                           std::span<const int32_t> local_experts, int64_t first_expert,
                           const WeightSource& weights, const WeightReading& reading,
                           StackExperts<DeviceExpertFfn>& experts)
    : config_(config), layer_(layer), first_expert_(first_expert), experts_(experts) {
  read_layer_weights(config, layer, local_experts, weights, reading,
                     experts.sink(layer, first_expert,
                                  [&](LoadedMatrix gate) { upload_matrix(gate.view, gate_); }));
}

bool CudaMoeLayer::prepare(std::span<const int64_t> expert_offsets, const SharedTiles& tiles,
                           DeviceLayerPlan& plan) {
  const Exchange& exchange = *plan.exchange;
  const WorkParts parts{exchange.num_parts(), [&](Range rows) { return exchange.part_of(rows); }};
  bool moved =
      experts_.routed.prepare(expert_offsets, first_expert_, plan.expert_rows, parts, plan.routed);
  if (experts_.shared) moved |= experts_.shared->prepare_shared(tiles, layer_, plan.shared);
  return moved;
}

void CudaMoeLayer::enqueue(const DeviceLayerPlan& plan, const DeviceState& x,
                           const DeviceWorkspace& workspace, GpuPhaseTimer& timer,
                           const LayerStreams& streams) const {
  Work work(*this, plan, x, workspace, timer, streams);
  run_layer_work(work);
}

}  // namespace hashep
