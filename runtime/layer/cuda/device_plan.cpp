// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/cuda/device_plan.hpp"

namespace hashep {

DevicePlan::DevicePlan(Transport& transport, int64_t num_layers)
    : transport_(transport), layers_(num_layers) {
  for (DeviceLayerPlan& layer : layers_) layer.exchange = transport.make_exchange();
}

void DevicePlan::begin(const BatchPlan& plan, int64_t rows) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const ExchangePlan& from = plan.layers[i];
    DeviceLayerPlan& to = layers_[i];
    to.rows = rows;
    to.top_k = from.top_k;
    to.expert_rows = transport_.expert_rows(from);
    to.exchange->begin(from);
    if (rows != from.tokens) to.exchange->pad_to(rows);
  }
}

bool DevicePlan::upload(const CudaStream& uploads, const BeforeFree& before_free) {
  ArrayLayout measured;
  lay_out(measured);
  bool moved = staging_.reserve(measured.bytes(), before_free);
  moved |= arrays_.reserve(measured.bytes(), before_free);
  ArrayLayout layout(staging_.data(), arrays_.data());
  lay_out(layout);
  copy_async(arrays_.data(), staging_.data(), layout.bytes(), uploads);
  uploaded_.record(uploads);
  return moved;
}

void DevicePlan::lay_out(ArrayLayout& layout) {
  for (DeviceLayerPlan& layer : layers_) {
    layer.exchange->lay_out(layout);
    layer.routed.lay_out(layout);
  }
}

}  // namespace hashep
