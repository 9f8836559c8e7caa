// SPDX-License-Identifier: Apache-2.0
#include "hashep/placement.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "hashep/error.hpp"

namespace hashep {

Placement::Placement(std::vector<int32_t> rank_of, int ep_size)
    : rank_of_(std::move(rank_of)),
      by_rank_(rank_of_.size()),
      first_(static_cast<size_t>(std::max(ep_size, 0)) + 1) {
  if (ep_size < 1) throw InputError("placement: ep_size must be at least 1");
  for (size_t expert = 0; expert < rank_of_.size(); ++expert) {
    const int32_t rank = rank_of_[expert];
    if (rank < 0 || rank >= ep_size) {
      throw InputError("placement: expert " + std::to_string(expert) + " is on rank " +
                       std::to_string(rank) + ", outside [0, " + std::to_string(ep_size) + ")");
    }
    ++first_[rank + 1];
  }
  std::partial_sum(first_.begin(), first_.end(), first_.begin());
  std::iota(by_rank_.begin(), by_rank_.end(), 0);
  std::stable_sort(by_rank_.begin(), by_rank_.end(),
                   [this](int32_t a, int32_t b) { return this->rank_of(a) < this->rank_of(b); });
}

std::span<const int32_t> Placement::local_experts(int rank) const {
  const Range range = range_of(rank);
  return by_rank().subspan(range.begin, range.size());
}

std::ostream& operator<<(std::ostream& out, const Placement& placement) {
  for (int rank = 0; rank < placement.ep_size(); ++rank) {
    out << "rank " << rank << ":";
    for (const int32_t expert : placement.local_experts(rank)) out << ' ' << expert;
    out << '\n';
  }
  return out;
}

Placement contiguous_placement(int64_t num_experts, int ep_size) {
  std::vector<int32_t> rank_of(num_experts);
  for (int rank = 0; rank < ep_size; ++rank) {
    const Range range = split_range(num_experts, ep_size, rank);
    std::fill(rank_of.begin() + range.begin, rank_of.begin() + range.end, rank);
  }
  return {std::move(rank_of), ep_size};
}

}  // namespace hashep
