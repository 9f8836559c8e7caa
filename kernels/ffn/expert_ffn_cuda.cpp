// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/expert_ffn_cuda.hpp"

#include <algorithm>

#include "core/narrow.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/activation.hpp"

namespace hashep {
namespace {

LinearShape first_shape(const DeviceExpertWeights& weights, DType dtype, DType result) {
  return {weights.first_cols(), weights.shape().hidden_size, dtype, result};
}

LinearShape second_shape(const DeviceExpertWeights& weights, DType dtype) {
  return {weights.shape().hidden_size, weights.shape().ffn_size, dtype, dtype};
}

/// Picks the lane with the fewest rows so far for each tile. A tile costs its weights' reading
/// besides its rows: kLoadRows is about as many rows as take that long.
class LanePicker {
 public:
  explicit LanePicker(int lanes) : rows_(lanes) {}

  int pick(int64_t rows) {
    const auto least = std::min_element(rows_.begin(), rows_.end());
    *least += rows + kLoadRows;
    return static_cast<int>(least - rows_.begin());
  }

 private:
  static constexpr int64_t kLoadRows = 128;
  std::vector<int64_t> rows_;
};

WeightOrder order_for(GemmGrouping grouping) {
  return grouping == GemmGrouping::fused ? WeightOrder::in_blocks : WeightOrder::apart;
}

}  // namespace

void ExpertWork::lay_out(ArrayLayout& arrays) {
  uploaded = arrays.add(addresses);
  fused.lay_out(arrays);
}

DeviceExpertFfn::DeviceExpertFfn(const FfnShape& shape, DType dtype, int64_t num_experts,
                                 GemmGrouping grouping, const CublasLtHandle& lt, GemmLanes& lanes)
    : shape_(shape),
      dtype_(dtype),
      grouping_(grouping),
      lanes_(lanes),
      weights_(shape, dtype, num_experts, order_for(grouping)),
      first_gemm_(lt, first_shape(weights_, dtype, DType::f32), kDeviceTileRows,
                  lanes.workspace_bytes(), lanes.multiprocessors()),
      second_gemm_(lt, second_shape(weights_, dtype), kDeviceTileRows, lanes.workspace_bytes(),
                   lanes.multiprocessors()) {
  if (grouping == GemmGrouping::fused) fused_.emplace(shape, dtype);
  if (grouping == GemmGrouping::grouped) {
    first_groups_.emplace(first_shape(weights_, dtype, dtype), num_experts,
                          lanes.workspace_bytes());
    second_groups_.emplace(second_shape(weights_, dtype), num_experts, lanes.workspace_bytes());
  }
}

bool DeviceExpertFfn::reserve(int64_t rows) {
  if (grouping_ == GemmGrouping::per_expert) return false;  // tiles: the lanes' scratch
  const BeforeFree& before_free = lanes_.before_free();
  if (fused_) return fused_->reserve(rows, before_free);
  const bool pre_moved = pre_.reserve(rows * pre_cols() * dtype_size(dtype_), before_free);
  return hidden_.reserve(rows * shape_.ffn_size * dtype_size(dtype_), before_free) || pre_moved;
}

bool DeviceExpertFfn::prepare(std::span<const int64_t> expert_offsets, int64_t first_expert,
                              MatrixView rows, const WorkParts& parts, ExpertWork& work) {
  work.first_expert = first_expert;
  work.num_parts = parts.count;
  if (fused_) {
    fused_->prepare(weights_, expert_offsets, first_expert, rows, parts, work.fused);
    return false;
  }
  if (grouping_ == GemmGrouping::grouped) {
    prepare_groups(expert_offsets, rows, work);
    return false;
  }
  work.tiles.clear();
  for_each_device_tile(expert_offsets, [&](const ExpertTile& tile) {
    const Range rows_of_tile{tile.first_row, tile.first_row + tile.count};
    work.tiles.push_back({tile, parts.of(rows_of_tile), 0});
  });
  std::stable_sort(work.tiles.begin(), work.tiles.end(),
                   [](const auto& a, const auto& b) { return a.part < b.part; });
  return prepare_tiles(work);
}

bool DeviceExpertFfn::prepare_shared(const SharedTiles& tiles, int64_t expert, ExpertWork& work) {
  work.first_expert = expert;
  work.num_parts = 1;
  work.tiles.clear();
  for (int64_t tile = 0; tile < tiles.num_tiles; ++tile) {
    work.tiles.push_back({{0, tile * tiles.tile_rows, tiles.tile_rows}, 0, 0});
  }
  return prepare_tiles(work);
}

bool DeviceExpertFfn::prepare_tiles(ExpertWork& work) {
  LanePicker picker(lanes_.count());
  int part = 0;
  int64_t most_rows = 0;
  for (ExpertWork::Tile& entry : work.tiles) {
    if (entry.part != part) picker = LanePicker(lanes_.count());
    part = entry.part;
    weights_.require(work.first_expert + entry.tile.expert);
    first_gemm_.prepare(entry.tile.count);
    second_gemm_.prepare(entry.tile.count);
    entry.lane = picker.pick(entry.tile.count);
    most_rows = std::max(most_rows, entry.tile.count);
  }
  return lanes_.reserve(most_rows * pre_cols() * dtype_size(DType::f32),
                        most_rows * shape_.ffn_size * dtype_size(dtype_));
}

void DeviceExpertFfn::prepare_groups(std::span<const int64_t> expert_offsets, MatrixView rows,
                                     ExpertWork& work) {
  if (reserve(expert_offsets.back())) throw RunError("expert FFN: prepare without reserve");
  work.groups.clear();
  work.group_rows.clear();
  // A graph may hold the address of what cuBLAS read while it was captured.
  work.group_rows.reserve(expert_offsets.size());
  for (size_t i = 0; i + 1 < expert_offsets.size(); ++i) {
    const int64_t count = expert_offsets[i + 1] - expert_offsets[i];
    if (count == 0) continue;
    weights_.require(work.first_expert + static_cast<int64_t>(i));
    work.groups.push_back({static_cast<int64_t>(i), expert_offsets[i], count});
    work.group_rows.push_back(narrow<int>(count, "rows of an expert"));
  }
  work.addresses.clear();
  const auto add_all = [&](const auto& address_of) {
    for (const ExpertTile& group : work.groups) work.addresses.push_back(address_of(group));
  };
  const MatrixView pre = pre_.matrix(dtype_, expert_offsets.back(), pre_cols());
  const MatrixView hidden = hidden_.matrix(dtype_, expert_offsets.back(), shape_.ffn_size);
  const auto expert = [&](const ExpertTile& group) { return work.first_expert + group.expert; };
  add_all([&](const ExpertTile& group) { return rows.row(group.first_row); });
  add_all([&](const ExpertTile& group) { return weights_.first(expert(group)); });
  add_all([&](const ExpertTile& group) { return pre.row(group.first_row); });
  add_all([&](const ExpertTile& group) { return hidden.row(group.first_row); });
  add_all([&](const ExpertTile& group) { return weights_.second(expert(group)); });
  add_all([&](const ExpertTile& group) { return rows.row(group.first_row); });
}

void DeviceExpertFfn::run(const ExpertWork& work, int part, MatrixView from, MatrixView to,
                          DeviceStream stream) const {
  if (fused_) return fused_->run(work.fused, part, stream);
  if (!work.groups.empty()) {
    if (part == work.num_parts - 1) run_groups(work, to, stream);
    return;
  }
  const auto [first, last] =
      std::equal_range(work.tiles.begin(), work.tiles.end(), ExpertWork::Tile{{}, part, 0},
                       [](const auto& a, const auto& b) { return a.part < b.part; });
  if (first == last) return;
  lanes_.fork(stream);
  for (auto entry = first; entry != last; ++entry) {
    run_tile(*entry, work.first_expert + entry->tile.expert, from, to);
  }
  lanes_.join(stream);
}

void DeviceExpertFfn::run_tile(const ExpertWork::Tile& entry, int64_t expert, MatrixView from,
                               MatrixView to) const {
  const ExpertTile& tile = entry.tile;
  const DeviceStream stream = lanes_.stream(entry.lane);
  const GemmWorkspace workspace = lanes_.workspace(entry.lane);
  const MatrixView pre = lanes_.first(entry.lane).matrix(DType::f32, tile.count, pre_cols());
  const MatrixView hidden = lanes_.second(entry.lane).matrix(dtype_, tile.count, shape_.ffn_size);
  first_gemm_.run(tile.count, from.row(tile.first_row), weights_.first(expert), pre.data, workspace,
                  stream);
  activate(shape_, {pre, weights_.bias1(expert), weights_.bias3(expert)}, hidden, stream);
  second_gemm_.run(tile.count, hidden.data, weights_.second(expert), to.row(tile.first_row),
                   workspace, stream);
  if (const float* const bias = weights_.bias2(expert)) {
    add_bias(bias, to.slice(tile.first_row, tile.count), stream);
  }
}

void DeviceExpertFfn::run_groups(const ExpertWork& work, MatrixView to, DeviceStream stream) const {
  const size_t groups = work.groups.size();
  const auto addresses = [&](size_t matrix) {
    return reinterpret_cast<const void* const*>(work.uploaded.data()) + matrix * groups;
  };
  const auto results = [&](size_t matrix) {
    return const_cast<void* const*>(addresses(matrix));  // written through
  };
  const int64_t rows = work.groups.back().first_row + work.groups.back().count;
  const MatrixView pre = pre_.matrix(dtype_, rows, pre_cols());
  const MatrixView hidden = hidden_.matrix(dtype_, rows, shape_.ffn_size);
  first_groups_->run({work.group_rows, addresses(0), addresses(1), results(2)}, stream);
  if (!weights_.has_biases()) {
    activate(shape_, {pre}, hidden, stream);
  } else {
    for (const ExpertTile& group : work.groups) {
      const int64_t expert = work.first_expert + group.expert;
      activate(
          shape_,
          {pre.slice(group.first_row, group.count), weights_.bias1(expert), weights_.bias3(expert)},
          hidden.slice(group.first_row, group.count), stream);
    }
  }
  second_groups_->run({work.group_rows, addresses(3), addresses(4), results(5)}, stream);
  for (const ExpertTile& group : work.groups) {
    const float* const bias = weights_.bias2(work.first_expert + group.expert);
    if (bias != nullptr) add_bias(bias, to.slice(group.first_row, group.count), stream);
  }
}

int64_t DeviceExpertFfn::scratch_bytes() const {
  int64_t sum = pre_.capacity() + hidden_.capacity();
  if (fused_) sum += fused_->scratch_bytes();
  if (first_groups_) sum += first_groups_->workspace_bytes() + second_groups_->workspace_bytes();
  return sum;
}

}  // namespace hashep
