// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/gemm_library.hpp"

#include <string>
#include <utility>

#include "core/setting.hpp"
#include "hashep/error.hpp"
#include "kernels/gemm/gemm_maker.hpp"
#include "kernels/gemm/onednn_call.hpp"
#include "kernels/gemm/packed_linear_onednn.hpp"
#include "kernels/gemm/packed_linear_xsmm.hpp"

namespace hashep {
namespace {

GemmLibrary resolve(GemmLibrary library) {
  if (library == GemmLibrary::onednn) return library;
  const std::string why_not = why_no_xsmm();
  if (library == GemmLibrary::xsmm) {
    if (!why_not.empty()) throw InputError(setting("gemm_library") + " xsmm: " + why_not);
    return library;
  }
  // oneDNN orders instruction sets by what they include.
  const bool avx512 = onednn::call("asking for the instruction set", [] {
    return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core;
  });
  return why_not.empty() && !avx512 ? GemmLibrary::xsmm : GemmLibrary::onednn;
}

}  // namespace

void require_gemm_library(GemmLibrary library) {
  resolve(library);
}

GemmMaker::GemmMaker(GemmLibrary library, DType dtype, int threads)
    : engine_(onednn::call("making a CPU engine",
                           [] { return dnnl::engine(dnnl::engine::kind::cpu, 0); })),
      library_(resolve(library)),
      operand_(DType::f32),
      threads_(threads) {
  if (library_ == GemmLibrary::onednn && OneDnnLinear::supports(engine_, dtype)) operand_ = dtype;
}

std::unique_ptr<PackedLinear> GemmMaker::make(LinearSpec spec) const {
  if (library_ == GemmLibrary::xsmm) return make_xsmm_linear(engine_, std::move(spec), threads_);
  return std::make_unique<OneDnnLinear>(engine_, std::move(spec), threads_);
}

}  // namespace hashep
