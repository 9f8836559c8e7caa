// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/layer_case.hpp"

#include <algorithm>
#include <cmath>

#include "benchmarks/gpu/device_rows.hpp"
#include "benchmarks/gpu/gpu_timer.hpp"
#include "core/narrow.hpp"
#include "core/random.hpp"
#include "runtime/layer/stack_routing.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kVocabSize = 129280;  // DeepSeek-V4's
constexpr int64_t kStride = 4099;       // elements from a matrix's place in the pool to the next's
constexpr int64_t kMatrices = 3;        // of an expert

std::vector<std::byte> make_pool(int64_t count, uint64_t key, float scale) {
  std::vector<float> values(static_cast<size_t>(count));
  fill_normal(key, 0, values);
  for (float& value : values) value *= scale;
  std::vector<std::byte> pool(values.size() * static_cast<size_t>(dtype_size(DType::bf16)));
  convert_from_float(values.data(), count, DType::bf16, pool.data());
  return pool;
}

float inverse_root(int64_t count) {
  return 1.0f / std::sqrt(static_cast<float>(count));
}

int64_t pool_size(const LayerSizes& sizes) {
  return sizes.hidden_size * sizes.ffn_size +
         kMatrices * sizes.num_layers * sizes.num_experts * kStride;
}

}  // namespace

PooledWeights::PooledWeights(const LayerSizes& sizes)
    : sizes_(sizes),
      w13_pool_(make_pool(pool_size(sizes), 11, inverse_root(sizes.hidden_size))),
      w2_pool_(make_pool(pool_size(sizes), 12, inverse_root(sizes.ffn_size))),
      gate_pool_(
          static_cast<size_t>(sizes.num_experts * sizes.hidden_size + sizes.num_layers * kStride)) {
  fill_normal(13, 0, gate_pool_);
  for (float& value : gate_pool_) value *= inverse_root(sizes.hidden_size);
}

ConstMatrixView PooledWeights::part(int64_t which, DType dtype, int64_t rows, int64_t cols) const {
  const auto& pool = which % kMatrices == 1 ? w2_pool_ : w13_pool_;
  return {pool.data() + which * kStride * dtype_size(dtype), dtype, rows, cols};
}

LoadedFfn PooledWeights::routed_expert(int64_t layer, int64_t expert) const {
  const int64_t first = kMatrices * (layer * sizes_.num_experts + expert);
  const int64_t d = sizes_.hidden_size;
  const int64_t f = sizes_.ffn_size;
  LoadedFfn loaded;
  loaded.weights.w1 = part(first, DType::bf16, f, d);
  loaded.weights.w2 = part(first + 1, DType::bf16, d, f);
  loaded.weights.w3 = part(first + 2, DType::bf16, f, d);
  return loaded;
}

LoadedFfn PooledWeights::shared_experts(int64_t) const {
  return {};
}

LoadedMatrix PooledWeights::gate(int64_t layer) const {
  return {{reinterpret_cast<const std::byte*>(gate_pool_.data() + layer * kStride), DType::f32,
           sizes_.num_experts, sizes_.hidden_size},
          {}};
}

LayerCase::LayerCase(const LayerSizes& layer_sizes)
    : sizes(layer_sizes),
      config{.num_layers = sizes.num_layers,
             .hidden_size = sizes.hidden_size,
             .ffn_size = sizes.ffn_size,
             .num_experts = sizes.num_experts,
             .top_k = narrow<int>(sizes.top_k, "--top-k"),
             .vocab_size = kVocabSize,
             .activation = Activation::silu,
             .swiglu_limit = static_cast<float>(sizes.swiglu_limit),
             .score = Score::sqrtsoftplus,
             .routed_scaling_factor = 1.5f,
             .router = RouterKind::token,
             .router_seed = 1},
      weights(sizes),
      x(random_rows(sizes.dtype, sizes.tokens, sizes.hidden_size, 14)) {
  validate_config(config, "hashep-bench-gpu");
  const auto stream = make_zipf_stream(kVocabSize, 0.0, 15);  // uniform
  routing.routers =
      make_routers(config, {.kind = RouterKind::token, .seed = 1, .table_path = ""}, *stream);
  routing.placements =
      make_placements(PlacementKind::contiguous, routing.routers, *stream, sizes.tokens, 1);
  plan.step = 0;
  plan.global_tokens = sizes.tokens;
  read_batch(*stream, {.batch_tokens = sizes.tokens, .seq_len = sizes.tokens}, 0, plan.batch);
  std::vector<CountWord> counts(static_cast<size_t>(routing.count_words()));
  route_batch(routing, plan, counts);
  complete_batch(routing, {.words = counts, .row_stride = routing.count_words()}, 0, plan);
}

ConstMatrixView LayerCase::input() const {
  return {x.data(), sizes.dtype, sizes.tokens, sizes.hidden_size};
}

double LayerCase::flops() const {
  double rows = 0.0;
  for (const ExchangePlan& layer : plan.layers) rows += static_cast<double>(layer.total_recv());
  return rows * 2.0 * static_cast<double>(kMatrices) * static_cast<double>(sizes.hidden_size) *
         static_cast<double>(sizes.ffn_size);
}

void run_and_wait(CudaStack& stack, const BatchPlan& plan) {
  stack.run(plan.step);
  poll_until([&] { return stack.is_done(plan.step); }, "a step");
}

std::vector<std::byte> fetch_result(CudaStack& stack) {
  stack.fetch();
  poll_until([&] { return stack.has_fetched(); }, "a copy to the host");
  const ConstMatrixView x = stack.fetched();
  return {x.data, x.data + x.bytes()};
}

OracleDifference oracle_difference(const LayerCase& c, const std::vector<std::byte>& result,
                                   int64_t tokens, bool rounds_preactivations) {
  const int64_t d = c.sizes.hidden_size;
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < std::min(tokens, c.sizes.tokens); ++i) {
    chosen.push_back(i * c.sizes.tokens / std::min(tokens, c.sizes.tokens));
  }
  std::vector<float> inputs(chosen.size() * static_cast<size_t>(d));
  std::vector<float> got(inputs.size());
  const ConstMatrixView y{result.data(), c.sizes.dtype, c.sizes.tokens, d};
  for (size_t i = 0; i < chosen.size(); ++i) {
    const size_t at = i * static_cast<size_t>(d);
    convert_to_float(c.sizes.dtype, c.input().row(chosen[i]), d, inputs.data() + at);
    convert_to_float(c.sizes.dtype, y.row(chosen[i]), d, got.data() + at);
  }
  const auto want = oracle_stack(
      c.config, c.weights, c.plan, {0, c.config.num_layers}, chosen, inputs,
      {.numbers = {.dtype = c.sizes.dtype, .rounds_preactivations = rounds_preactivations},
       .residual = false});
  return compare_with_oracle(got, want, d);
}

}  // namespace hashep::bench
