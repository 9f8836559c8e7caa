// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "hashep/backend.hpp"
#include "hashep/dtype.hpp"
#include "launch/process/words.hpp"

namespace hashep {

/// The words of the command lines for what a stack runs on.
std::span<const Word<Device>> device_words();
std::span<const Word<TransportKind>> transport_words();
std::span<const Word<GemmLibrary>> gemm_library_words();
std::span<const Word<WeightForm>> weight_form_words();
std::span<const Word<GemmGrouping>> expert_gemm_words();
std::span<const Word<GraphMode>> graph_words();
std::span<const Word<std::optional<Landing>>> landing_words();  // auto: by rule
std::span<const Word<DType>> dtype_words();

/// On or off.
std::span<const Word<bool>> switch_words();
/// Auto, which is on, or off.
std::span<const Word<bool>> automatic_words();

}  // namespace hashep
