// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/layer_gemms.hpp"

#include <algorithm>
#include <cmath>

#include "benchmarks/gpu/device_rows.hpp"
#include "kernels/ffn/device_tiles.hpp"

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

constexpr int64_t kChecked = 8;  // rows, and columns of each

LinearShape first_shape(const LayerSizes& sizes, DType result = DType::f32) {
  return {2 * sizes.ffn_size, sizes.hidden_size, sizes.dtype, result};
}

LinearShape second_shape(const LayerSizes& sizes) {
  return {sizes.hidden_size, sizes.ffn_size, sizes.dtype, sizes.dtype};
}

/// The i-th of kChecked places that are spread over [0, count), both ends among them.
int64_t checked_place(int64_t i, int64_t count) {
  return i * (count - 1) / (kChecked - 1);
}

/// Row `row` of a row-major matrix in GPU memory.
std::vector<float> fetch_row(const DeviceBuffer& matrix, DType dtype, int64_t row, int64_t cols) {
  const int64_t bytes = cols * dtype_size(dtype);
  const auto row_bytes = to_host(matrix.data() + row * bytes, bytes);
  std::vector<float> values(cols);
  convert_to_float(dtype, row_bytes.data(), cols, values.data());
  return values;
}

/// Whether a sum is that of x times w, up to fp32 sums in another order and one rounding.
bool is_product(float got, const std::vector<float>& x, const std::vector<float>& w, DType result) {
  double sum = 0.0;
  double magnitude = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double product = double{x[i]} * double{w[i]};
    sum += product;
    magnitude += std::abs(product);
  }
  const double rounding = result == DType::bf16 ? 0x1p-8 : 0x1p-24;
  return std::abs(double{got} - sum) <= rounding * std::abs(sum) + 1e-5 * magnitude;
}

}  // namespace

LayerGemms::LayerGemms(const LayerCase& c, int lanes)
    : sizes_(c.sizes),
      rows_(c.landed_rows()),
      lanes_(lanes, kWorkspaceBytes),
      dense_first_(lt_, first_shape(sizes_), rows_, kWorkspaceBytes),
      narrow_first_(lt_, first_shape(sizes_, sizes_.dtype), rows_, kWorkspaceBytes),
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
  narrow_first_.prepare(rows_);
  dense_second_.prepare(rows_);
  for_each_device_tile(c.plan.layers.front().expert_offsets, [&](const ExpertTile& tile) {
    first_.prepare(tile.count);
    second_.prepare(tile.count);
    tiles_.push_back(tile);
  });
}

void LayerGemms::run(GemmWay way, DeviceStream stream) const {
  if (way == GemmWay::tiles) {
    run_tiles(stream);
  } else {
    run_dense(way == GemmWay::dense ? dense_first_ : narrow_first_, stream);
  }
}

void LayerGemms::run_dense(const LinearGemm& first, DeviceStream stream) const {
  first.run(rows_, x_.data(), w13_.data(), pre_.data(), lanes_.workspace(0), stream);
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

int64_t LayerGemms::count_wrong(GemmWay way) const {
  poison(pre_);
  poison(y_);
  const CudaStream stream;
  run(way, stream);
  stream.synchronize();
  const LinearShape& first = (way == GemmWay::dense_narrow ? narrow_first_ : dense_first_).shape();
  return count_wrong_in({first, x_, w13_, pre_}, way) +
         count_wrong_in({dense_second_.shape(), hidden_, w2_, y_}, way);
}

int64_t LayerGemms::count_wrong_in(const Product& product, GemmWay way) const {
  const LinearShape& shape = product.shape;
  int64_t wrong = 0;
  for (int64_t i = 0; i < kChecked; ++i) {
    const int64_t row = checked_place(i, rows_);
    const auto x = fetch_row(product.x, shape.operands, row, shape.in_cols);
    const auto y = fetch_row(product.y, shape.result, row, shape.out_cols);
    const int64_t first_w = expert_of(row, way) * shape.out_cols;
    for (int64_t j = 0; j < kChecked; ++j) {
      const int64_t col = checked_place(j, shape.out_cols);
      const auto w = fetch_row(product.w, shape.operands, first_w + col, shape.in_cols);
      wrong += is_product(y[col], x, w, shape.result) ? 0 : 1;
    }
  }
  return wrong;
}

int64_t LayerGemms::expert_of(int64_t row, GemmWay way) const {
  if (way != GemmWay::tiles) return 0;
  const auto last = std::find_if(tiles_.rbegin(), tiles_.rend(),
                                 [row](const ExpertTile& tile) { return tile.first_row <= row; });
  return last->expert;
}

}  // namespace hashep::bench
