// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/backward_gemms.hpp"

#include <algorithm>

#include "benchmarks/layer_parts.hpp"
#include "kernels/parallel.hpp"
#include "runtime/layer/stack_experts.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kTag = 9;

TileGemms make_gemms(const GemmMaker& maker, const FfnLayout& layout) {
  std::vector<std::unique_ptr<PackedLinear>> gemms;
  const int64_t d = layout.shape.hidden_size;
  gemms.push_back(maker.make({.inputs = d,
                              .outputs = layout.shape.ffn_size,
                              .operand = maker.operand(),
                              .result = DType::f32,
                              .transposed = true}));
  gemms.push_back(maker.make({.inputs = layout.in_size(),
                              .outputs = d,
                              .operand = maker.operand(),
                              .result = maker.operand(),
                              .transposed = true}));
  return TileGemms(std::move(gemms));
}

}  // namespace

BackwardGemms::BackwardGemms(const ModelConfig& config, std::span<const Placement> placements,
                             int ep_rank, const ExecOptions& exec)
    : layout_{config.routed_shape(), {}},
      threads_count_(exec.threads),
      maker_(exec.gemm_library, exec.dtype, exec.threads),
      gemms_(make_gemms(maker_, layout_)),
      in_gradient_(maker_.engine(), layout_.in_size(), config.hidden_size, maker_.operand(),
                   exec.threads),
      out_gradient_(maker_.engine(), config.hidden_size, config.ffn_size, maker_.operand(),
                    exec.threads),
      weights_(count_local_experts(placements, ep_rank)),
      threads_(exec.threads),
      gradients_(std::ssize(weights_) * layout_.size() * dtype_size(DType::f32)) {
  Buffer values(layout_.size() * dtype_size(DType::f32));
  const int64_t d = config.hidden_size;
  for (auto& of_expert : weights_) {
    fill_random_rows(kTag, 0, values.matrix(DType::f32, 1, layout_.size()));
    const ConstMatrixView w_in{values.data(), DType::f32, layout_.in_size(), d};
    const ConstMatrixView w_out{values.data() + layout_.w_out() * dtype_size(DType::f32),
                                DType::f32, d, config.ffn_size};
    of_expert[kHiddenGradient] = gemms_[kHiddenGradient].pack(w_out, {}, exec.dtype);
    of_expert[kInputGradient] = gemms_[kInputGradient].pack(w_in, {}, exec.dtype);
  }
  std::fill_n(gradients_.data(), gradients_.capacity(), std::byte{0});
}

void BackwardGemms::prepare(std::span<const ExchangePlan> layers) {
  layers_ = layers;
  const DType operand = maker_.operand();
  int64_t rows = 0;
  for (const ExchangePlan& layer : layers) {
    rows = std::max(rows, layer.total_recv());
    for_each_tile(layer.expert_offsets, [&](const ExpertTile& tile) {
      gemms_.make_kernels(tile.count);
      for (Thread& thread : threads_) {
        const int64_t most = std::max(gemms_.rows(tile.count), tile.count);
        thread.hidden.reserve(most * layout_.shape.ffn_size * dtype_size(DType::f32));
        thread.scratch.reserve(gemms_.scratch_bytes(gemms_.rows(tile.count)));
      }
    });
    for (size_t expert = 0; expert + 1 < layer.expert_offsets.size(); ++expert) {
      const int64_t count = layer.expert_offsets[expert + 1] - layer.expert_offsets[expert];
      constexpr int64_t kChunk = WeightGradientGemm::kChunkRows;
      for (const int64_t chunk : {std::min(count, kChunk), count % kChunk}) {
        if (chunk == 0) continue;
        in_gradient_.make_ready(chunk);
        out_gradient_.make_ready(chunk);
      }
    }
  }
  rows += kMostTileRows;  // where GEMMs take more rows than a tile has
  const int64_t d = layout_.shape.hidden_size;
  for (const auto& [buffer, cols] :
       {std::pair{&hidden_rows_, d}, {&ffn_rows_, layout_.in_size()}}) {
    buffer->reserve(rows * cols * dtype_size(operand));
    fill_random_rows(kTag, 0, buffer->matrix(operand, rows, cols));
  }
  results_.reserve(rows * d * dtype_size(operand));
}

void BackwardGemms::run() {
  int64_t first_expert = 0;
  for (const ExchangePlan& layer : layers_) {
    std::vector<ExpertTile> tiles;
    for_each_tile(layer.expert_offsets, [&](const ExpertTile& tile) { tiles.push_back(tile); });
    parallel_items(std::ssize(tiles), threads_count_, [&](int thread, int64_t item) {
      run_tile(thread, first_expert + tiles[item].expert, tiles[item]);
    });
    parallel_items(layer.num_local_experts(), threads_count_, [&](int thread, int64_t expert) {
      run_sums(thread, first_expert + expert,
               {layer.expert_offsets[expert], layer.expert_offsets[expert + 1]});
    });
    first_expert += layer.num_local_experts();
  }
}

void BackwardGemms::run_tile(int thread, int64_t expert, const ExpertTile& tile) {
  const int64_t d_bytes = layout_.shape.hidden_size * dtype_size(maker_.operand());
  const int64_t z_bytes = layout_.in_size() * dtype_size(maker_.operand());
  const int64_t rows = gemms_.rows(tile.count);
  Thread& own = threads_[thread];
  gemms_[kHiddenGradient].run(thread, {.weights = *weights_[expert][kHiddenGradient],
                                       .rows = rows,
                                       .x = hidden_rows_.data() + tile.first_row * d_bytes,
                                       .y = own.hidden.data(),
                                       .scratch = own.scratch.data()});
  gemms_[kInputGradient].run(thread, {.weights = *weights_[expert][kInputGradient],
                                      .rows = rows,
                                      .x = ffn_rows_.data() + tile.first_row * z_bytes,
                                      .y = results_.data() + tile.first_row * d_bytes,
                                      .scratch = own.scratch.data()});
}

void BackwardGemms::run_sums(int thread, int64_t expert, const Range& rows) {
  const DType operand = maker_.operand();
  const int64_t d = layout_.shape.hidden_size;
  auto* const gradient = reinterpret_cast<float*>(gradients_.data()) + expert * layout_.size();
  for (int64_t begin = rows.begin; begin < rows.end; begin += WeightGradientGemm::kChunkRows) {
    const int64_t count = std::min(WeightGradientGemm::kChunkRows, rows.end - begin);
    const std::byte* const hidden = hidden_rows_.data() + begin * d * dtype_size(operand);
    const std::byte* const z = ffn_rows_.data() + begin * layout_.in_size() * dtype_size(operand);
    // The hidden activation is as wide as half of z, or all of it.
    const std::byte* const h =
        ffn_rows_.data() + begin * layout_.shape.ffn_size * dtype_size(operand);
    for (int64_t block = 0; block < in_gradient_.num_blocks(); ++block) {
      in_gradient_.run(thread, block, count, z, hidden, gradient);
    }
    for (int64_t block = 0; block < out_gradient_.num_blocks(); ++block) {
      out_gradient_.run(thread, block, count, hidden, h, gradient + layout_.w_out());
    }
  }
}

double BackwardGemms::operations() const {
  double rows = 0.0;
  for (const ExchangePlan& layer : layers_) rows += static_cast<double>(layer.total_recv());
  return 4.0 * rows * static_cast<double>(layout_.bias_in());  // W_in and W_out stand before it
}

}  // namespace hashep::bench
