// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/cuda/cuda_moe_layer.hpp"

#include <algorithm>

#include "kernels/combine.hpp"
#include "kernels/gate_scores.hpp"
#include "kernels/scatter.hpp"

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
                           MatrixView rows, DeviceLayerPlan& plan) {
  bool moved = experts_.routed.prepare(expert_offsets, first_expert_, rows, plan.routed);
  if (experts_.shared) moved |= experts_.shared->prepare_shared(tiles, layer_, plan.shared);
  return moved;
}

void CudaMoeLayer::enqueue(const DeviceLayerPlan& plan, const DeviceState& x,
                           const DeviceWorkspace& workspace, PhaseMarks& marks,
                           DeviceStream stream) const {
  const DType dtype = x.tokens.dtype;
  const int64_t d = config_.hidden_size;
  std::span<float> weights;  // empty: 1 / top_k each
  if (config_.score == Score::sqrtsoftplus) {
    const PhaseMarks::Scope scope(marks, Phase::gate, layer_, stream);
    weights = {workspace.weights.as<float>(), plan.experts.size()};
    const ConstMatrixView gate = gate_.matrix(DType::f32, config_.num_experts, d);
    gate_weights(x.tokens, gate, plan.experts, plan.top_k, config_.routed_scaling_factor, weights,
                 stream);
  }
  const MatrixView rows = workspace.rows.matrix(dtype, plan.total_recv, d);
  {
    const PhaseMarks::Scope scope(marks, Phase::dispatch, layer_, stream);
    scatter_rows(x.tokens, {plan.experts, plan.send_rows, plan.top_k, plan.places}, stream);
  }
  {
    const PhaseMarks::Scope scope(marks, Phase::experts, layer_, stream);
    experts_.routed.run(plan.routed, rows, rows, stream);
  }
  ConstMatrixView shared;
  if (experts_.shared) {
    const PhaseMarks::Scope scope(marks, Phase::shared_experts, layer_, stream);
    const MatrixView out = workspace.shared.matrix(dtype, x.tiles.rows, d);
    experts_.shared->run(plan.shared, x.tiles, out, stream);
    shared = {out.data + (x.tokens.data - x.tiles.data), dtype, plan.tokens, d};
  }
  const PhaseMarks::Scope scope(marks, Phase::combine, layer_, stream);
  const bool residual = workspace.output.capacity() > 0;
  const MatrixView y = residual ? workspace.output.matrix(dtype, plan.tokens, d) : x.tokens;
  combine_rows({.places = plan.places,
                .experts = plan.experts,
                .row_of = plan.send_rows,
                .top_k = plan.top_k,
                .weights = weights,
                .shared = shared},
               y, stream);
  if (residual) add_rows(y, x.tokens, stream);
}

}  // namespace hashep
