// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/layer_gemms.hpp"

#include <algorithm>

#include "benchmarks/gpu/device_rows.hpp"
#include "kernels/device_tiles.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;
constexpr int64_t kRandomRows = 2048;  // made once and repeated: what a GEMM reads, not how fast

/// Fills a buffer with copies of random rows.
DeviceBuffer random_buffer(DType dtype, int64_t rows, int64_t cols, uint64_t key) {
  const int64_t bytes = rows * cols * dtype_size(dtype);
  DeviceBuffer buffer(bytes);
  const auto part = random_rows(dtype, std::min(rows, kRandomRows), cols, key);
  const DeviceBuffer source = to_gpu(part.data(), std::ssize(part));
  const CudaStream stream;
  for (int64_t done = 0; done < bytes; done += source.capacity()) {
    copy_async(buffer.data() + done, source.data(), std::min(source.capacity(), bytes - done),
               stream);
  }
  stream.synchronize();
  return buffer;
}

LinearShape first_shape(const LayerSizes& sizes) {
  return {2 * sizes.ffn_size, sizes.hidden_size, sizes.dtype, DType::f32};
}

LinearShape second_shape(const LayerSizes& sizes) {
  return {sizes.hidden_size, sizes.ffn_size, sizes.dtype, sizes.dtype};
}

}  // namespace

LayerGemms::LayerGemms(const LayerCase& c, int lanes)
    : sizes_(c.sizes),
      rows_(c.landed_rows()),
      lanes_(lanes, kWorkspaceBytes),
      dense_first_(lt_, first_shape(sizes_), rows_, kWorkspaceBytes),
      dense_second_(lt_, second_shape(sizes_), rows_, kWorkspaceBytes),
      first_(lt_, first_shape(sizes_), kDeviceTileRows, kWorkspaceBytes),
      second_(lt_, second_shape(sizes_), kDeviceTileRows, kWorkspaceBytes),
      x_(random_buffer(sizes_.dtype, rows_, sizes_.hidden_size, 1)),
      hidden_(random_buffer(sizes_.dtype, rows_, sizes_.ffn_size, 2)),
      w13_(random_buffer(sizes_.dtype, sizes_.num_experts * 2 * sizes_.ffn_size, sizes_.hidden_size,
                         3)),
      w2_(random_buffer(sizes_.dtype, sizes_.num_experts * sizes_.hidden_size, sizes_.ffn_size, 4)),
      pre_(rows_ * 2 * sizes_.ffn_size * dtype_size(DType::f32)),
      y_(rows_ * sizes_.hidden_size * dtype_size(sizes_.dtype)) {
  dense_first_.prepare(rows_);
  dense_second_.prepare(rows_);
  for_each_device_tile(c.plan.layers.front().expert_offsets, [&](const ExpertTile& tile) {
    first_.prepare(tile.count);
    second_.prepare(tile.count);
    tiles_.push_back(tile);
  });
}

void LayerGemms::run_dense(DeviceStream stream) const {
  dense_first_.run(rows_, x_.data(), w13_.data(), pre_.data(), lanes_.workspace(0), stream);
  dense_second_.run(rows_, hidden_.data(), w2_.data(), y_.data(), lanes_.workspace(0), stream);
}

void LayerGemms::run_tiles(DeviceStream stream) const {
  const int64_t d = sizes_.hidden_size;
  const int64_t f = sizes_.ffn_size;
  const int64_t size = dtype_size(sizes_.dtype);
  lanes_.fork(stream);
  for (size_t i = 0; i < tiles_.size(); ++i) {
    const ExpertTile& tile = tiles_[i];
    const int lane = static_cast<int>(i % static_cast<size_t>(lanes_.count()));
    first_.run(tile.count, x_.data() + tile.first_row * d * size,
               w13_.data() + tile.expert * 2 * f * d * size,
               pre_.data() + tile.first_row * 2 * f * dtype_size(DType::f32),
               lanes_.workspace(lane), lanes_.stream(lane));
    second_.run(tile.count, hidden_.data() + tile.first_row * f * size,
                w2_.data() + tile.expert * d * f * size, y_.data() + tile.first_row * d * size,
                lanes_.workspace(lane), lanes_.stream(lane));
  }
  lanes_.join(stream);
}

}  // namespace hashep::bench
