// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hashep {

/// The name that DeepSeek gives a tensor of a mixture-of-experts layer, from the one that a file
/// has: "layers.3.ffn.experts.7.w1.weight" for "model.layers.3.mlp.experts.7.gate_proj.weight".
/// transformers' names become DeepSeek's: mlp, gate_proj, up_proj, down_proj and
/// e_score_correction_bias; a leading "model." or "language_model." goes; a table, and its spread
/// rows, are the gate's, whichever module holds them. What all experts share as one tensor stands
/// before ".weight" without an expert's number: "layers.3.ffn.experts.w2.weight" for
/// "...experts.down_proj", "layers.3.ffn.experts.gate_up_proj.weight". Scales of quantised weights,
/// "...gate_proj.weight_scale_inv" or "...experts.down_proj_scale_inv", end with ".scale". Any
/// other name stays as it is, without what leads.
std::string own_tensor_name(std::string_view name);

}  // namespace hashep
