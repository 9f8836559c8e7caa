// SPDX-License-Identifier: Apache-2.0
#include "tests/support/stack_case.hpp"

#include <array>

#include "core/random.hpp"
#include "runtime/tokens/routed_loads.hpp"

namespace hashep::test {
namespace {

/// Zipf draws in which every ninth token is padding. Batches begin anew after kPeriod tokens.
class PaddedStream final : public TokenStream {
 public:
  static constexpr int64_t kPeriod = 5000;

  explicit PaddedStream(int64_t vocab_size)
      : zipf_(make_zipf_stream(vocab_size, 1.0, kStackSeed)) {}

  void read(int64_t first, std::span<int32_t> out) const override {
    zipf_->read(first % kPeriod, out);
    for (size_t i = 0; i < out.size(); ++i) {
      if ((first + static_cast<int64_t>(i)) % 9 == 4) out[i] = kPaddingId;
    }
  }
  std::optional<int64_t> size() const override { return kPeriod; }

 private:
  std::unique_ptr<TokenStream> zipf_;
};

}  // namespace

std::string StackCase::name() const {
  return std::string(dtype_name(dtype)) + " top " + std::to_string(config.top_k) + " " +
         std::string(router_name(config.router)) + " " +
         std::string(activation_name(config.activation)) + " " +
         (placement == PlacementKind::balanced ? "balanced" : "contiguous") + " placement, " +
         std::to_string(threads) + " threads";
}

std::vector<StackCase> stack_cases() {
  constexpr std::array kRouters = {RouterKind::token, RouterKind::position, RouterKind::previous,
                                   RouterKind::bigram, RouterKind::balanced};
  constexpr std::array kActivations = {Activation::relu, Activation::gelu, Activation::silu};
  std::vector<StackCase> cases;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int top_k : {1, 6}) {
      for (size_t router = 0; router < kRouters.size(); ++router) {
        for (const auto placement : {PlacementKind::contiguous, PlacementKind::balanced}) {
          StackCase c;
          c.dtype = dtype;
          c.placement = placement;
          c.config = {.num_layers = 2,
                      .hidden_size = 24,
                      .ffn_size = 40,
                      .num_experts = 10,
                      .num_shared_experts = static_cast<int64_t>(router % 3),
                      .top_k = top_k,
                      .vocab_size = 300,
                      .activation = kActivations[router % kActivations.size()],
                      .swiglu_limit = router == 2 ? 0.5f : 0.0f,
                      .score = top_k > 1 ? Score::sqrtsoftplus : Score::none,
                      .routed_scaling_factor = 1.5f,
                      .router = kRouters[router],
                      .router_seed = 3};
          c.threads = router == 1 ? 2 : 1;
          c.residual = router != 4;
          cases.push_back(c);
        }
      }
    }
  }
  return cases;
}

std::unique_ptr<TokenStream> stack_stream(const StackCase& c) {
  return std::make_unique<PaddedStream>(c.config.vocab_size);
}

CaseRouting stack_routing(const StackCase& c, const TokenStream& stream, const StackNodes& nodes) {
  auto router = make_router(
      c.config,
      {.kind = c.config.router, .seed = c.config.router_seed, .table_path = "", .folder = nullptr},
      stream);
  auto placements =
      make_placements({.kind = c.placement, .path = ""}, *router,
                      routed_layers(c.config.num_layers, c.config.num_experts, c.config.top_k),
                      stream, c.seq_len, one_node(nodes.nodes.ep_size()));
  return {std::move(router),
          StackGeometry(std::move(placements), c.config.top_k, nodes.nodes, nodes.reduce)};
}

std::vector<std::byte> stack_input(const StackCase& c, int ep_size, int ep_rank) {
  return stack_rows(c, split_range(c.batch_tokens, ep_size, ep_rank));
}

std::vector<TokenBatch> cut_batch(const StreamBatch& whole,
                                  std::span<const int64_t> tokens_by_rank) {
  std::vector<TokenBatch> parts;
  size_t first = 0;
  for (const int64_t tokens : tokens_by_rank) {
    TokenBatch part = whole.view();
    part.ids = part.ids.subspan(first, tokens);
    part.first_position += static_cast<int64_t>(first);
    if (first > 0) part.previous_id = whole.ids[first - 1];
    parts.push_back(part);
    first += static_cast<size_t>(tokens);
  }
  return parts;
}

std::vector<std::byte> stack_rows(const StackCase& c, const Range& rows) {
  std::vector<float> values(rows.size() * c.config.hidden_size);
  fill_normal(kStackSeed, rows.begin * c.config.hidden_size, values);
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(dtype_size(c.dtype)));
  convert_from_float(values.data(), static_cast<int64_t>(values.size()), c.dtype, bytes.data());
  return bytes;
}

}  // namespace hashep::test
