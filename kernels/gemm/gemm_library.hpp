// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/backend.hpp"

namespace hashep {

/// Throws InputError where this build or machine lacks the library. Local.
void require_gemm_library(GemmLibrary library);

}  // namespace hashep
