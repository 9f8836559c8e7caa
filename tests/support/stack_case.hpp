// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hashep/batch_plan.hpp"
#include "runtime/layer/make_router.hpp"
#include "runtime/layer/stack_placements.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep::test {

/// Key of all random values of a case.
inline constexpr uint64_t kStackSeed = 5;

/// A small run to be computed in several ways.
struct StackCase {
  ModelConfig config;
  DType dtype = DType::f32;
  PlacementKind placement = PlacementKind::contiguous;
  int64_t batch_tokens = 61;  // divides into no even parts
  int64_t seq_len = 17;
  int threads = 1;
  bool residual = true;

  /// For messages of failing tests.
  std::string name() const;
};

/// Cases that cover fp32 and bf16, top-1 and top-6 of 10 experts, every router, both placements,
/// both scores, shared experts.
std::vector<StackCase> stack_cases();

/// A stream whose ids are Zipf draws with some padding.
std::unique_ptr<TokenStream> stack_stream(const StackCase& c);

/// Where the ranks of a test run, and how their results return (StackGeometry::node_reduce).
struct StackNodes {
  NodeMap nodes;
  bool reduce = false;
};

/// Where a case's assignments come from and where they go.
struct CaseRouting {
  std::unique_ptr<Router> router;
  StackGeometry geometry;
};
CaseRouting stack_routing(const StackCase& c, const TokenStream& stream, const StackNodes& nodes);

/// Rows of the case's input, by global token index.
std::vector<std::byte> stack_rows(const StackCase& c, const Range& rows);
/// Those of a rank where all have about as many.
std::vector<std::byte> stack_input(const StackCase& c, int ep_size, int ep_rank);

/// A global batch cut into ranks' parts of these numbers of tokens: views of `whole`.
std::vector<TokenBatch> cut_batch(const StreamBatch& whole,
                                  std::span<const int64_t> tokens_by_rank);

}  // namespace hashep::test
