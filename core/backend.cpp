// SPDX-License-Identifier: Apache-2.0
#include "hashep/backend.hpp"

#include <array>
#include <cstddef>

namespace hashep {

std::string_view transport_name(TransportKind kind) {
  constexpr std::array<std::string_view, 6> kNames{"auto", "mpi", "shm", "hier", "nccl", "ipc"};
  return kNames.at(static_cast<size_t>(kind));
}

}  // namespace hashep
