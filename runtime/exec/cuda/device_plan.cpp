// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/cuda/device_plan.hpp"

#include <algorithm>
#include <string>

#include "core/error.hpp"

namespace hashep {
namespace {

constexpr int64_t kArrayAlignment = 256;  // bytes: each array begins on a sector of its own

int64_t padded(int64_t bytes) {
  return (bytes + kArrayAlignment - 1) / kArrayAlignment * kArrayAlignment;
}

template <typename T>
int64_t array_bytes(int64_t count) {
  return padded(count * static_cast<int64_t>(sizeof(T)));
}

/// Hands out consecutive arrays in staging memory and their places in GPU memory.
class Layout {
 public:
  Layout(std::byte* staging, std::byte* device) : staging_(staging), device_(device) {}

  /// Copies values to the next array; returns it as the GPU will see it.
  template <typename T>
  std::span<const T> add(const std::vector<T>& values) {
    std::span<const T> there;
    std::copy(values.begin(), values.end(), fill<T>(std::ssize(values), there).begin());
    return there;
  }

  /// The next array, to be filled in staging memory.
  template <typename T>
  std::span<T> fill(int64_t count, std::span<const T>& there) {
    there = {reinterpret_cast<const T*>(device_ + taken_), static_cast<size_t>(count)};
    const std::span<T> here(reinterpret_cast<T*>(staging_ + taken_), static_cast<size_t>(count));
    taken_ += array_bytes<T>(count);
    return here;
  }

 private:
  std::byte* staging_;
  std::byte* device_;
  int64_t taken_ = 0;
};

int64_t layer_bytes(const ExchangePlan& plan, const DeviceLayerPlan& layer) {
  const auto assignments = static_cast<int64_t>(plan.experts.size());
  return array_bytes<int32_t>(assignments) + array_bytes<int64_t>(assignments) +
         array_bytes<ExpertPlace>(plan.num_experts) +
         array_bytes<const std::byte*>(std::ssize(layer.routed.addresses));
}

/// Where each expert's rows go: on one rank, straight to their expert-major place.
void fill_places(const ExchangePlan& plan, std::byte* expert_rows, std::span<ExpertPlace> places) {
  for (size_t expert = 0; expert < places.size(); ++expert) {
    if (plan.expert_ranks[expert] != plan.ep_rank) {
      throw RunError("device plan: expert " + std::to_string(expert) + " is on rank " +
                     std::to_string(plan.expert_ranks[expert]) +
                     ", and the exchange between GPUs is not in this build");
    }
    places[expert] = {expert_rows, plan.landing_rows[expert] - plan.expert_send_rows[expert]};
  }
}

}  // namespace

void DevicePlan::begin(const BatchPlan& plan) {
  layers_.resize(plan.layers.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].tokens = plan.layers[i].tokens;
    layers_[i].top_k = plan.layers[i].top_k;
    layers_[i].total_recv = plan.layers[i].total_recv();
  }
}

bool DevicePlan::upload(const BatchPlan& plan, std::byte* expert_rows, const CudaStream& uploads) {
  int64_t bytes = 0;
  for (size_t i = 0; i < layers_.size(); ++i) bytes += layer_bytes(plan.layers[i], layers_[i]);
  staging_.reserve(bytes);
  const bool moved = arrays_.reserve(bytes);
  Layout layout(staging_.data(), arrays_.data());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const ExchangePlan& from = plan.layers[i];
    DeviceLayerPlan& to = layers_[i];
    to.experts = layout.add(from.experts);
    to.send_rows = layout.add(from.send_rows);
    fill_places(from, expert_rows, layout.fill<ExpertPlace>(from.num_experts, to.places));
    to.routed.uploaded = layout.add(to.routed.addresses);
  }
  copy_async(arrays_.data(), staging_.data(), bytes, uploads);
  uploaded_.record(uploads);
  return moved;
}

}  // namespace hashep
