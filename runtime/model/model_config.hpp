// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "hashep/hash_router.hpp"
#include "hashep/stack_shape.hpp"

namespace hashep {

inline constexpr int64_t kMaxModelSize = int64_t{1} << 24;  // of a dimension or number of things
inline constexpr int64_t kMaxVocabSize = std::numeric_limits<int32_t>::max();  // ids are int32

/// Where a token's experts come from.
enum class RouterKind { token, position, previous, bigram, table, balanced };

/// What an arithmetic hash router of this kind hashes; `token` for what is none.
HashFeature hash_feature(RouterKind kind);

/// The hash-routed layers of a model; JSON keys are those of DeepSeek-V4's config.json.
struct ModelConfig {
  int64_t num_layers = 0;                    // num_hash_layers
  int64_t hidden_size = 0;                   // hidden_size (d)
  int64_t ffn_size = 0;                      // moe_intermediate_size (f)
  int64_t num_experts = 0;                   // n_routed_experts (E)
  int64_t num_shared_experts = 0;            // n_shared_experts
  int top_k = 1;                             // num_experts_per_tok (k)
  int64_t vocab_size = 0;                    // vocab_size
  Activation activation = Activation::silu;  // hidden_act
  float swiglu_limit = 0.0f;                 // swiglu_limit; 0: none
  Score score = Score::none;                 // scoring_func
  float routed_scaling_factor = 1.0f;        // routed_scaling_factor
  std::optional<Gate> gate = {};             // topk_method, of layers that are not hash-routed
  RouterKind router = RouterKind::table;     // hashep.router
  uint64_t router_seed = 0;                  // hashep.seed
  bool spread = false;                       // hashep.spread: trained with spread rows

  /// Its sizes, without what routing alone needs.
  StackShape shape() const {
    return {num_layers, hidden_size,  ffn_size, num_experts,           top_k, num_shared_experts,
            activation, swiglu_limit, score,    routed_scaling_factor, gate};
  }
  FfnShape routed_shape() const { return shape().routed_shape(); }
  FfnShape shared_shape() const { return shape().shared_shape(); }

  bool operator==(const ModelConfig&) const = default;
};

/// Throws InputError naming `source` and the key where a size is not positive, top_k is not in
/// [1, num_experts], swiglu_limit is negative or not finite, and so on.
void validate_config(const ModelConfig& config, const std::string& source);
/// The same for a caller's own shape, by the names of StackShape.
void validate_shape(const StackShape& shape, const std::string& source);

/// A model of this shape, of which nothing is known that routing needs.
ModelConfig config_of_shape(const StackShape& shape);

/// Spread rows change a model, so they go with one that was trained with them and with no other.
/// Throws InputError naming `source` (the table) where `has_spread` is not what the model wants.
void require_spread(const ModelConfig& config, bool has_spread, const std::string& source);

/// Names on the command line and in JSON; parsing throws InputError that lists what is known.
std::string_view activation_name(Activation activation);
std::string_view score_name(Score score);
std::string_view gate_kind_name(GateKind gate);
std::string_view router_name(RouterKind router);
Activation parse_activation(std::string_view name);
Score parse_score(std::string_view name);
GateKind parse_gate_kind(std::string_view name);
RouterKind parse_router(std::string_view name);

}  // namespace hashep
