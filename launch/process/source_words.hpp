// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "launch/process/words.hpp"
#include "runtime/layer/stack_placements.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// The value of --placement: contiguous, balanced, or the name of a placement file, *.json. Throws
/// InputError.
PlacementSource parse_placement(const std::string& text);
/// The text that parse_placement takes for it.
std::string placement_word(const PlacementSource& source);

/// Of --token-dtype.
std::span<const Word<TokenDtype>> token_dtype_words();

}  // namespace hashep
