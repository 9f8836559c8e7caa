// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/routed_loads.hpp"

#include <algorithm>

#include "hashep/error.hpp"

namespace hashep {

std::vector<int64_t> routed_loads(const Router& router, const TokenStream& stream,
                                  int64_t seq_len) {
  constexpr int64_t kChunk = 1 << 16;  // tokens: small enough to stay in a core's cache
  if (!stream.size()) throw RunError("routed_loads: the stream has no end");
  std::vector<int64_t> loads(static_cast<size_t>(router.num_experts()));
  std::vector<int32_t> experts;
  TokenBatch batch;
  batch.seq_len = seq_len;
  for (; batch.first_index < *stream.size(); batch.first_index += kChunk) {
    const int64_t count = std::min(kChunk, *stream.size() - batch.first_index);
    if (!batch.ids.empty()) batch.previous_id = batch.ids.back();
    batch.ids.resize(static_cast<size_t>(count));
    stream.read(batch.first_index, batch.ids);
    experts.resize(static_cast<size_t>(count * router.top_k()));
    router.route(batch, experts);
    for (const int32_t expert : experts) {
      if (expert >= 0) ++loads[static_cast<size_t>(expert)];
    }
  }
  return loads;
}

}  // namespace hashep
