// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/tensor_spelling.hpp"

#include <utility>

#include "tests/support/catch.hpp"

using namespace hashep;

TEST_CASE("tensors of a layer have one name in all spellings") {
  const std::pair<const char*, const char*> names[] = {
      {"layers.3.ffn.gate.tid2eid", "layers.3.ffn.gate.tid2eid"},
      {"model.layers.3.ffn.gate.weight", "layers.3.ffn.gate.weight"},
      {"model.layers.3.mlp.gate.tid2eid", "layers.3.ffn.gate.tid2eid"},
      {"model.language_model.layers.3.mlp.gate.tid2eid", "layers.3.ffn.gate.tid2eid"},
      {"language_model.model.layers.3.mlp.hash_router.tid2eid", "layers.3.ffn.gate.tid2eid"},
      {"layers.3.mlp.tid2eid", "layers.3.ffn.gate.tid2eid"},
      {"model.layers.3.mlp.gate.spread_rows", "layers.3.ffn.gate.spread_rows"},
      {"layers.3.mlp.gate.e_score_correction_bias", "layers.3.ffn.gate.bias"},
      {"layers.3.mlp.experts.17.gate_proj.weight", "layers.3.ffn.experts.17.w1.weight"},
      {"layers.3.mlp.experts.17.up_proj.weight", "layers.3.ffn.experts.17.w3.weight"},
      {"layers.3.mlp.experts.17.down_proj.bias", "layers.3.ffn.experts.17.w2.bias"},
      {"layers.3.mlp.experts.gate_up_proj", "layers.3.ffn.experts.gate_up_proj.weight"},
      {"layers.3.mlp.experts.gate_up_proj.weight", "layers.3.ffn.experts.gate_up_proj.weight"},
      {"layers.3.mlp.experts.down_proj", "layers.3.ffn.experts.w2.weight"},
      {"layers.3.mlp.shared_experts.up_proj.weight", "layers.3.ffn.shared_experts.w3.weight"},
      {"layers.3.ffn.experts.17.w1.scale", "layers.3.ffn.experts.17.w1.scale"},
      {"layers.3.mlp.experts.17.up_proj.weight_scale_inv", "layers.3.ffn.experts.17.w3.scale"},
      {"layers.3.mlp.shared_experts.down_proj.weight_scale",
       "layers.3.ffn.shared_experts.w2.scale"},
      {"layers.3.mlp.experts.gate_up_proj_scale_inv", "layers.3.ffn.experts.gate_up_proj.scale"},
      {"layers.3.mlp.experts.down_proj_scale", "layers.3.ffn.experts.w2.scale"},
      {"model.layers.3.mlp.up_proj.weight", "layers.3.ffn.up_proj.weight"},
      {"model.layers.3.self_attn.gate_proj", "layers.3.self_attn.gate_proj"},
      {"x.layers.3.mlp.gate.tid2eid", "x.layers.3.mlp.gate.tid2eid"},
      {"model.embed_tokens.weight", "embed_tokens.weight"},
      {"layers.3.mlp", "layers.3.mlp"},
      {"model.", ""},
      {"", ""}};
  for (const auto& [name, own] : names) {
    CHECK(own_tensor_name(name) == own);
    CHECK(own_tensor_name(own) == own);
  }
}
