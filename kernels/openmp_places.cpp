// SPDX-License-Identifier: Apache-2.0
#include "kernels/openmp_places.hpp"

#include <omp.h>

#include <algorithm>

namespace hashep {

std::vector<int> openmp_places() {
  std::vector<int> cores;
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> of_place(omp_get_place_num_procs(place));
    omp_get_place_proc_ids(place, of_place.data());
    cores.insert(cores.end(), of_place.begin(), of_place.end());
  }
  std::sort(cores.begin(), cores.end());
  cores.erase(std::unique(cores.begin(), cores.end()), cores.end());
  return cores;
}

}  // namespace hashep
