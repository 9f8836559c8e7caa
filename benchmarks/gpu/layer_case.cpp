// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/layer_case.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "benchmarks/gpu/device_rows.hpp"
#include "benchmarks/gpu/gpu_timer.hpp"
#include "benchmarks/layer_parts.hpp"
#include "core/narrow.hpp"
#include "core/random.hpp"
#include "hashep/hash_router.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kVocabSize = 129280;  // DeepSeek-V4's
constexpr int64_t kStride = 4099;       // elements from a matrix's place in the pool to the next's
constexpr int64_t kMatrices = 3;        // of an expert

std::vector<std::byte> make_pool(int64_t count, uint64_t key, float scale) {
  std::vector<float> values(count);
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
      gate_pool_(sizes.num_experts * sizes.hidden_size + sizes.num_layers * kStride) {
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
      geometry(std::vector(static_cast<size_t>(sizes.num_layers),
                           contiguous_placement(sizes.num_experts, 1)),
               config.top_k),
      x(random_rows(sizes.dtype, sizes.tokens, sizes.hidden_size, 14)) {
  validate_config(config, "hashep-bench-gpu");
  const auto stream = make_zipf_stream(kVocabSize, 0.0, 15);  // uniform
  const HashRouter router({.vocab_size = kVocabSize, .seed = 1});
  StreamBatch batch;
  read_batch(*stream, {.batch_tokens = sizes.tokens, .seq_len = sizes.tokens}, 0, batch);
  const std::array batches = {batch.view()};
  plan = plan_batch(geometry, router, batches, 0);
  plan.step = 0;
}

ConstMatrixView LayerCase::input() const {
  return {x.data(), sizes.dtype, sizes.tokens, sizes.hidden_size};
}

double LayerCase::flops() const {
  int64_t rows = 0;
  for (const ExchangePlan& layer : plan.layers) rows += layer.total_recv();
  return routed_operations(config, rows);
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
  LayerStates states(spread_tokens(c.sizes.tokens, tokens));
  states.add(c.input());
  states.add({result.data(), c.sizes.dtype, c.sizes.tokens, c.sizes.hidden_size});
  return compare_with_oracle(
      c.config, c.weights, c.plan, states,
      {.numbers = {.dtype = c.sizes.dtype, .rounds_preactivations = rounds_preactivations},
       .residual = false});
}

}  // namespace hashep::bench
