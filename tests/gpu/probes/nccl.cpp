// SPDX-License-Identifier: Apache-2.0
// Whether programs with NCCL can be compiled, linked and begun here, and with one that is new
// enough. Needs no GPU.
#include <nccl.h>

#include <cstdio>

int main() {
  constexpr int kLeast = NCCL_VERSION(2, 19, 0);
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) {
    std::printf("ncclGetVersion failed\n");
    return 1;
  }
  if (version != NCCL_VERSION_CODE || version < kLeast) {
    std::printf("NCCL %d, its header is of %d, and %d or later is needed\n", version,
                NCCL_VERSION_CODE, kLeast);
    return 1;
  }
  return 0;
}
