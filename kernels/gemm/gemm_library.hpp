// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

namespace hashep {

/// The library of the experts' GEMMs on a CPU. `automatic` is LIBXSMM on x86 machines with AVX2 and
/// no AVX-512, in builds that have it, else oneDNN: with AVX2 alone oneDNN 2.6 reaches 0.72 of the
/// peak at 512 rows and LIBXSMM 0.9, with AVX-512 oneDNN itself reaches 0.95.
enum class GemmLibrary { automatic, onednn, xsmm };

/// The names that --gemm-library takes: auto, onednn, xsmm.
inline constexpr std::array<std::string_view, 3> kGemmLibraryNames{"auto", "onednn", "xsmm"};

/// Throws InputError where `name` is none of them, or this build or machine lacks it. Local.
GemmLibrary gemm_library(std::string_view name);

}  // namespace hashep
