// SPDX-License-Identifier: Apache-2.0
#include "comm/core_share.hpp"

#include <bit>

#include "comm/gather.hpp"
#include "kernels/openmp_places.hpp"

namespace hashep {
namespace {

/// A grant as words: the number of quotas, group and cores of each, then the cores that it may run
/// on; padded with kNone.
constexpr int64_t kNone = -1;

std::vector<int64_t> pack(const CoreGrant& grant) {
  std::vector<int64_t> words{std::ssize(grant.quotas)};
  for (const CpuQuota& quota : grant.quotas) {
    words.push_back(static_cast<int64_t>(quota.group));
    words.push_back(std::bit_cast<int64_t>(quota.cores));
  }
  words.insert(words.end(), grant.cores.begin(), grant.cores.end());
  return words;
}

CoreGrant unpack(std::span<const int64_t> words) {
  CoreGrant grant;
  const auto num_quotas = static_cast<size_t>(words.front());
  for (size_t i = 0; i < num_quotas; ++i) {
    grant.quotas.push_back(
        {static_cast<uint64_t>(words[1 + 2 * i]), std::bit_cast<double>(words[2 + 2 * i])});
  }
  for (const int64_t core : words.subspan(1 + 2 * num_quotas)) {
    if (core != kNone) grant.cores.push_back(static_cast<int>(core));
  }
  return grant;
}

}  // namespace

std::vector<CoreGrant> gather_core_grants(const Communicator& node, Watch& watch) {
  CoreGrant own = granted_cores();
  if (std::vector<int> places = openmp_places(); !places.empty()) own.cores = std::move(places);
  std::vector<int64_t> words = pack(own);
  const auto length =
      static_cast<size_t>(reduce_max(node, watch, static_cast<int64_t>(words.size())));
  words.resize(length, kNone);
  const std::vector<int64_t> all = gather_words(node, watch, words);
  std::vector<CoreGrant> grants;
  for (size_t rank = 0; rank < static_cast<size_t>(node.size()); ++rank) {
    grants.push_back(unpack(std::span(all).subspan(rank * length, length)));
  }
  return grants;
}

CoreShare find_core_share(const Communicator& node, Watch& watch) {
  return share_of_cores(gather_core_grants(node, watch), static_cast<size_t>(node.rank()));
}

}  // namespace hashep
