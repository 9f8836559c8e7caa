// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/cuda/cuda_moe_layer.hpp"

#include <algorithm>

#include "kernels/gate/gate_scores.hpp"
#include "kernels/rows/combine.hpp"

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

CudaMoeLayer::CudaMoeLayer(const ModelConfig& config, int64_t layer,
                           std::span<const int32_t> local_experts, int64_t first_expert,
                           const WeightSource& weights, const WeightReading& reading,
                           DeviceStackExperts& experts)
    : config_(config), layer_(layer), first_expert_(first_expert), experts_(experts) {
  read_layer_weights(
      config, layer, local_experts, weights, reading,
      {.routed =
           [&](int64_t expert, const FfnWeights& ffn) {
             experts.routed.set_expert(first_expert + expert, ffn);
           },
       .shared = [&](const FfnWeights& ffn) { experts.shared->set_expert(layer, ffn); },
       .gate = [&](LoadedMatrix gate) { upload_matrix(gate.view, gate_); }});
}

bool CudaMoeLayer::prepare(std::span<const int64_t> expert_offsets, const SharedTiles& tiles,
                           DeviceLayerPlan& plan) {
  const DeviceExchange& exchange = *plan.exchange;
  const WorkParts parts{exchange.num_parts(), [&](Range rows) { return exchange.part_of(rows); }};
  bool moved =
      experts_.routed.prepare(expert_offsets, first_expert_, plan.expert_rows, parts, plan.routed);
  if (experts_.shared) moved |= experts_.shared->prepare_shared(tiles, layer_, plan.shared);
  return moved;
}

void CudaMoeLayer::dispatch(const DeviceLayerPlan& plan, const DeviceState& x, PhaseMarks& marks,
                            const LayerStreams& streams) const {
  if (streams.are_apart()) {
    streams.events->ready.record(streams.experts);
    wait_for(streams.exchange, streams.events->ready);
  }
  for (int part = 0; part < plan.exchange->num_parts(); ++part) {
    {
      const PhaseMarks::Scope scope(marks, Phase::dispatch, layer_, streams.exchange,
                                    streams.are_apart() ? 1 : 0);
      plan.exchange->dispatch(part, x.rows, streams.exchange);
    }
    if (streams.are_apart()) {
      streams.events->landed[static_cast<size_t>(part)].record(streams.exchange);
    }
  }
}

std::span<const float> CudaMoeLayer::weigh(const DeviceLayerPlan& plan, const DeviceState& x,
                                           const DeviceWorkspace& workspace, PhaseMarks& marks,
                                           DeviceStream stream) const {
  if (config_.score != Score::sqrtsoftplus) return {};  // 1 / top_k each
  const PhaseMarks::Scope scope(marks, Phase::gate, layer_, stream);
  const std::span<const int32_t> experts = plan.exchange->experts();
  const std::span<float> weights(workspace.weights.as<float>(), experts.size());
  const ConstMatrixView gate = gate_.matrix(DType::f32, config_.num_experts, config_.hidden_size);
  gate_weights(x.rows, gate, experts, plan.top_k, config_.routed_scaling_factor, weights, stream);
  return weights;
}

ConstMatrixView CudaMoeLayer::run_shared(const DeviceLayerPlan& plan, const DeviceState& x,
                                         const DeviceWorkspace& workspace, PhaseMarks& marks,
                                         DeviceStream stream) const {
  if (!experts_.shared) return {};
  const PhaseMarks::Scope scope(marks, Phase::shared_experts, layer_, stream);
  const MatrixView out = workspace.shared.matrix(x.tiles.dtype, x.tiles.rows, config_.hidden_size);
  experts_.shared->run(plan.shared, 0, x.tiles, out, stream);
  return {out.data + (x.rows.data - x.tiles.data), out.dtype, plan.rows, out.cols};
}

void CudaMoeLayer::run_routed(const DeviceLayerPlan& plan, PhaseMarks& marks,
                              const LayerStreams& streams) const {
  for (int part = 0; part < plan.exchange->num_parts(); ++part) {
    const auto at = static_cast<size_t>(part);
    if (streams.are_apart()) wait_for(streams.experts, streams.events->landed[at]);
    {
      const PhaseMarks::Scope scope(marks, Phase::experts, layer_, streams.experts);
      experts_.routed.run(plan.routed, part, plan.expert_rows, plan.expert_rows, streams.experts);
    }
    if (!plan.exchange->gives_back()) continue;
    if (streams.are_apart()) {
      streams.events->computed[at].record(streams.experts);
      wait_for(streams.exchange, streams.events->computed[at]);
    }
    plan.exchange->give_back(part, streams.exchange);
  }
  if (streams.are_apart() && plan.exchange->gives_back()) {
    streams.events->given_back.record(streams.exchange);
    wait_for(streams.experts, streams.events->given_back);
  }
}

void CudaMoeLayer::enqueue(const DeviceLayerPlan& plan, const DeviceState& x,
                           const DeviceWorkspace& workspace, PhaseMarks& marks,
                           const LayerStreams& streams) const {
  const DeviceStream stream = streams.experts;
  dispatch(plan, x, marks, streams);
  const std::span<const float> weights = weigh(plan, x, workspace, marks, stream);
  const ConstMatrixView shared = run_shared(plan, x, workspace, marks, stream);
  run_routed(plan, marks, streams);
  const PhaseMarks::Scope scope(marks, Phase::combine, layer_, stream);
  const bool residual = workspace.output.capacity() > 0;
  const MatrixView y =
      residual ? workspace.output.matrix(x.rows.dtype, plan.rows, x.rows.cols) : x.rows;
  plan.exchange->combine(weights, shared, y, stream);
  if (residual) add_rows(y, x.rows, stream);
}

}  // namespace hashep
