// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <string>

#include "kernels/rows/stream_copy.hpp"

namespace hashep {
namespace {

/// Size of the first core's cache of this level, where the system tells. Not sysconf's, which on
/// AMD is that of the whole package, of which a core reaches a part.
int64_t cache_bytes(int wanted_level, int64_t otherwise) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    std::ifstream level_file(folder + "level");
    std::ifstream size_file(folder + "size");
    int level = 0;
    int64_t kibibytes = 0;
    char unit = '\0';
    if (!(level_file >> level) || level != wanted_level) continue;
    if (size_file >> kibibytes >> unit && unit == 'K' && kibibytes > 0) return kibibytes << 10;
  }
  return otherwise;
}

}  // namespace

int64_t core_cache_bytes() {
  static const int64_t bytes = cache_bytes(2, int64_t{1} << 20);
  return bytes;
}

int64_t last_level_cache_bytes() {
  static const int64_t bytes = cache_bytes(3, int64_t{32} << 20);
  return bytes;
}

bool worth_streaming(int64_t working_set) {
  return working_set > core_cache_bytes();
}

}  // namespace hashep
