// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hashep {

/// What a SentencePiece model calls these ids ("▁the" is " the"); "" for an id that it lacks.
/// Throws InputError where the model cannot be read.
std::vector<std::string> token_pieces(const std::string& tokenizer, std::span<const int32_t> ids);

}  // namespace hashep
