// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/weight_source.hpp"

namespace hashep {

/// The same weights with none of them quantised: those that were become bf16 where that holds them
/// exactly, else f32 (exact_dtype), in memory that the result owns.
LoadedFfn expanded(LoadedFfn ffn);

}  // namespace hashep
