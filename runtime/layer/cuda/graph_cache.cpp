// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/cuda/graph_cache.hpp"

#include <algorithm>

namespace hashep {

GraphCache::Entry* GraphCache::find(std::span<const int64_t> shape) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return std::equal(shape.begin(), shape.end(), entry->shape.begin(), entry->shape.end());
  });
  return found == entries_.end() ? nullptr : found->get();
}

GraphCache::Entry& GraphCache::find_or_replace(std::span<const int64_t> shape) {
  if (Entry* const known = find(shape)) return *known;
  if (std::ssize(entries_) == kMaxEntries) {
    const auto by_use = [](const auto& a, const auto& b) { return a->last_use < b->last_use; };
    entries_.erase(std::min_element(entries_.begin(), entries_.end(), by_use));
  }
  entries_.push_back(std::make_unique<Entry>());
  entries_.back()->shape.assign(shape.begin(), shape.end());
  return *entries_.back();
}

bool GraphCache::knows(std::span<const int64_t> shape) const {
  return mode_ == GraphMode::off || find(shape) != nullptr;
}

void GraphCache::drop_graphs() {
  for (const auto& entry : entries_) entry->graph.reset();
}

const CudaGraph* GraphCache::get(std::span<const int64_t> shape, DeviceStream stream,
                                 const std::function<void()>& work) {
  if (mode_ == GraphMode::off) return nullptr;
  Entry& entry = find_or_replace(shape);
  const bool met_before = entry.last_use > 0;
  entry.last_use = ++uses_;
  if (!entry.graph && (met_before || mode_ == GraphMode::on)) {
    entry.graph.emplace(stream, work);
    ++num_captured_;
  }
  return entry.graph ? &*entry.graph : nullptr;
}

}  // namespace hashep
