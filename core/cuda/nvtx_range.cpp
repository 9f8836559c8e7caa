// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/nvtx_range.hpp"

#include <nvtx3/nvToolsExt.h>

namespace hashep {

NvtxRange::NvtxRange(const char* name) {
  nvtxRangePushA(name);
}

NvtxRange::~NvtxRange() {
  nvtxRangePop();
}

}  // namespace hashep
