// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/trainable_ffn.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/activation.hpp"
#include "kernels/ffn/ffn_activation.hpp"
#include "kernels/ffn/tile_gemms.hpp"
#include "kernels/ffn/tile_rows.hpp"
#include "kernels/gemm/gemm_maker.hpp"
#include "kernels/gemm/weight_gradient_onednn.hpp"
#include "kernels/parallel.hpp"
#include "kernels/require.hpp"
#include "kernels/rows/column_sums.hpp"
#include "kernels/rows/lane_dot.hpp"

namespace hashep {
namespace {

/// In the order of a step: z = x W_in^T, y = h W_out^T; gradients of h and of x.
enum Gemm : size_t { kIn, kOut, kHiddenGradient, kInputGradient, kGemms };

/// Rows are whole where GEMMs can take them from where they stand.
struct Thread {
  Buffer rows;             // [rows, hidden_size] of the operand
  Buffer z;                // [rows, preactivation_size], fp32
  Buffer hidden;           // [rows, ffn_size] of the operand
  Buffer hidden_gradient;  // [rows, ffn_size], fp32
  Buffer z_gradient;       // [rows, preactivation_size] of the operand
  Buffer scratch;          // of the GEMMs
  // Sums over rows:
  Buffer outputs, inputs;  // a chunk in fp32, where that is the operand and not the dtype
  Buffer columns;          // of column_sums
};

float* floats(Buffer& buffer) {
  return reinterpret_cast<float*>(buffer.data());
}

std::array<bool, 3> biases_of(const FfnWeights& weights) {
  return {weights.bias1.rows > 0, weights.bias2.rows > 0, weights.bias3.rows > 0};
}

}  // namespace

class TrainableFfn::Impl {
 public:
  Impl(const FfnLayout& layout, DType dtype, int64_t num_experts, int threads, GemmLibrary library)
      : layout_(layout),
        dtype_(dtype),
        threads_count_(threads),
        maker_(library, dtype, threads),
        operand_(maker_.operand()),
        gemms_(make_gemms()),
        activation_(maker_.engine(), shape(), threads),
        in_gradient_(maker_.engine(), layout.in_size(), d(), operand_, threads),
        out_gradient_(maker_.engine(), d(), f(), operand_, threads),
        gemm_rows_(kMostTileRows + 1),
        threads_(threads),
        packed_(num_experts),
        values_(num_experts * layout.size() * kFloat),
        gradients_(num_experts * layout.size() * kFloat) {
    std::fill_n(gradients_.data(), gradients_.capacity(), std::byte{0});
    implementation_ = gemms_[kIn].implementation() + (dtype == DType::f32 ? ", fp32"
                                                      : emulates() ? ", bf16 computed in fp32"
                                                                   : ", bf16 native");
  }

  const FfnLayout& layout() const { return layout_; }

  void set_expert(int64_t expert, const FfnWeights& weights) {
    require_expert(expert);
    check_weights(shape(), weights, expert);
    const bool gated = shape().activation == Activation::silu;
    if (biases_of(weights) !=
        std::array<bool, 3>{layout_.biases.in, layout_.biases.out, layout_.biases.in && gated}) {
      throw InputError("expert " + std::to_string(expert) +
                       ": experts that are trained have the same biases, and w3 one where w1 has "
                       "one");
    }
    const auto copy = [](ConstMatrixView from, MatrixView to) {
      if (from.rows == 0) return;
      convert_to_float(from.dtype, from.data, from.rows * from.cols, to.row_as<float>(0));
    };
    const auto to = layout_.views(reinterpret_cast<std::byte*>(values(expert).data()));
    copy(weights.w1, to.w1);
    copy(weights.w2, to.w2);
    copy(weights.w3, to.w3);
    copy(weights.bias1, to.bias1);
    copy(weights.bias2, to.bias2);
    copy(weights.bias3, to.bias3);
    pack(expert);
  }

  std::span<float> values(int64_t expert) { return part(values_, expert); }
  std::span<float> gradients(int64_t expert) { return part(gradients_, expert); }

  void pack(int64_t expert) {
    require_expert(expert);
    const OmpThreads team(threads_count_);
    const auto* const first = reinterpret_cast<const std::byte*>(values(expert).data());
    const auto matrix = [&](int64_t begin, int64_t rows, int64_t cols) {
      return ConstMatrixView{first + begin * kFloat, DType::f32, rows, cols};
    };
    const ConstMatrixView w_in = matrix(0, layout_.in_size(), d());
    const ConstMatrixView w_out = matrix(layout_.w_out(), d(), f());
    const ConstMatrixView bias_in =
        matrix(layout_.bias_in(), layout_.biases.in ? 1 : 0, layout_.in_size());
    const ConstMatrixView bias_out = matrix(layout_.bias_out(), layout_.biases.out ? 1 : 0, d());
    pack(expert, kIn, w_in, bias_in);
    pack(expert, kOut, w_out, bias_out);
    pack(expert, kHiddenGradient, w_out, {});
    pack(expert, kInputGradient, w_in, {});
  }

  void prepare(std::span<const int64_t> offsets) {
    for_each_tile(offsets, [&](const ExpertTile& tile) { make_ready(tile.count); });
    for (size_t expert = 0; expert + 1 < offsets.size(); ++expert) {
      prepare_sums(offsets[expert + 1] - offsets[expert]);
    }
    items_.reserve(items_of(std::ssize(offsets) - 1));
  }

  void prepare_aligned(int64_t tile_rows) { make_ready(tile_rows); }

  void prepare_all_tiles(int64_t most_rows) {
    for (int64_t rows = 1; rows <= std::min(most_rows, kMostTileRows); ++rows) {
      gemms_.make_kernels(rows);
    }
  }

  void forward(std::span<const ExpertTile> tiles, MatrixView rows, int64_t first_expert,
               const FfnTape& tape) {
    parallel_items(std::ssize(tiles), threads_count_, [&](int thread, int64_t item) {
      const ExpertTile& tile = tiles[item];
      const MatrixView part = rows.slice(tile.first_row, tile.count);
      FfnTape kept;
      if (tape.x.data != nullptr) kept.x = tape.x.slice(tile.first_row, tile.count);
      if (tape.z.data != nullptr) kept.z = tape.z.slice(tile.first_row, tile.count);
      forward_tile(thread, first_expert + tile.expert, {part, part, 0, ready_rows(tile.count)},
                   kept);
    });
  }

  void forward_aligned(ConstMatrixView x, int64_t first_row, int64_t tile_rows, MatrixView out,
                       int64_t expert, const FfnTape& tape) {
    if (x.rows == 0) return;
    const int64_t first_tile = first_row / tile_rows;
    const int64_t last_tile = (first_row + x.rows - 1) / tile_rows;
    parallel_items(last_tile - first_tile + 1, threads_count_, [&](int thread, int64_t item) {
      const int64_t tile_begin = (first_tile + item) * tile_rows;
      const int64_t begin = std::max(tile_begin, first_row);
      const int64_t count = std::min(tile_begin + tile_rows, first_row + x.rows) - begin;
      FfnTape kept;
      if (tape.z.data != nullptr) kept.z = tape.z.slice(begin - first_row, count);
      forward_tile(thread, expert,
                   {x.slice(begin - first_row, count), out.slice(begin - first_row, count),
                    begin - tile_begin, ready_rows(tile_rows)},
                   kept);
    });
  }

  void backward(std::span<const ExpertTile> tiles, const FfnBackwardRows& rows,
                int64_t first_expert) {
    parallel_items(std::ssize(tiles), threads_count_, [&](int thread, int64_t item) {
      backward_tile(thread, first_expert + tiles[item].expert, tiles[item], rows);
    });
  }

  void add_gradients(std::span<const GradientSum> sums, const FfnBackwardRows& rows) {
    items_.clear();
    for (const GradientSum& sum : sums) {
      if (sum.rows.size() == 0) continue;
      prepare_sums(sum.rows.size());
      for (int64_t block = 0; block < in_gradient_.num_blocks(); ++block) {
        items_.push_back({sum, Item::kIn, block});
      }
      for (int64_t block = 0; block < out_gradient_.num_blocks(); ++block) {
        items_.push_back({sum, Item::kOut, block});
      }
      if (layout_.biases.in || layout_.biases.out) items_.push_back({sum, Item::kBiases, 0});
    }
    parallel_items(std::ssize(items_), threads_count_,
                   [&](int thread, int64_t item) { add_item(thread, items_[item], rows); });
  }

  int64_t packed_bytes() const {
    int64_t bytes = 0;
    for (const auto& of_expert : packed_) {
      for (const auto& weights : of_expert) bytes += weights == nullptr ? 0 : weights->bytes();
    }
    return bytes;
  }
  int64_t parameter_bytes() const { return values_.capacity() + gradients_.capacity(); }
  int64_t scratch_bytes() const {
    int64_t bytes = pack_scratch_.capacity();
    for (const Thread& thread : threads_) {
      bytes += thread.rows.capacity() + thread.z.capacity() + thread.hidden.capacity() +
               thread.hidden_gradient.capacity() + thread.z_gradient.capacity() +
               thread.scratch.capacity() + thread.outputs.capacity() + thread.inputs.capacity() +
               thread.columns.capacity();
    }
    return bytes;
  }
  std::string_view implementation() const { return implementation_; }

 private:
  static constexpr int64_t kFloat = sizeof(float);

  /// Part of the gradients of a sum.
  struct Item {
    enum Kind { kIn, kOut, kBiases };
    GradientSum sum;
    Kind kind = kIn;
    int64_t block = 0;
  };

  const FfnShape& shape() const { return layout_.shape; }
  int64_t d() const { return layout_.shape.hidden_size; }
  int64_t f() const { return layout_.shape.ffn_size; }
  bool emulates() const { return dtype_ != operand_; }

  TileGemms make_gemms() const {
    std::vector<std::unique_ptr<PackedLinear>> gemms(kGemms);
    const auto make = [&](Gemm gemm, int64_t inputs, int64_t outputs, DType result,
                          bool transposed) {
      gemms[gemm] = maker_.make({.inputs = inputs,
                                 .outputs = outputs,
                                 .operand = operand_,
                                 .result = result,
                                 .transposed = transposed});
    };
    make(kIn, d(), layout_.in_size(), DType::f32, false);
    make(kOut, f(), d(), operand_, false);
    make(kHiddenGradient, d(), f(), DType::f32, true);
    make(kInputGradient, layout_.in_size(), d(), operand_, true);
    return TileGemms(std::move(gemms));
  }

  std::span<float> part(Buffer& buffer, int64_t expert) const {
    const auto size = static_cast<size_t>(layout_.size());
    return {floats(buffer) + static_cast<size_t>(expert) * size, size};
  }

  void pack(int64_t expert, Gemm gemm, ConstMatrixView weights, ConstMatrixView bias) {
    auto& packed = packed_[expert][gemm];
    if (packed == nullptr) {
      packed = gemms_[gemm].pack(weights, bias, dtype_);
    } else {
      gemms_[gemm].repack(weights, bias, dtype_, *packed, pack_scratch_);
    }
  }

  void require_expert(int64_t expert) const {
    require(expert >= 0 && expert < std::ssize(packed_), "trainable FFN: no such expert");
  }

  int64_t ready_rows(int64_t rows) const {
    const int64_t gemm_rows = gemm_rows_[rows];
    require(gemm_rows > 0, "trainable FFN: tiles that were not prepared");
    return gemm_rows;
  }

  void make_ready(int64_t rows) {
    require(rows >= 1 && rows <= kMostTileRows, "trainable FFN: tiles of too many rows");
    int64_t& gemm_rows = gemm_rows_[rows];
    if (gemm_rows != 0) return;
    gemms_.make_kernels(rows);
    const int64_t wanted = gemms_.rows(rows);
    const int64_t operand = dtype_size(operand_);
    for (Thread& thread : threads_) {
      thread.rows.reserve(wanted * d() * operand);
      thread.z.reserve(wanted * layout_.in_size() * kFloat);
      thread.hidden.reserve(wanted * f() * operand);
      thread.hidden_gradient.reserve(wanted * f() * kFloat);
      thread.z_gradient.reserve(wanted * layout_.in_size() * operand);
      thread.scratch.reserve(gemms_.scratch_bytes(wanted));
    }
    gemm_rows = wanted;
  }

  void prepare_sums(int64_t rows) {
    constexpr int64_t kChunk = WeightGradientGemm::kChunkRows;
    for (const int64_t chunk : {std::min(rows, kChunk), rows % kChunk}) {
      if (chunk == 0) continue;
      in_gradient_.make_ready(chunk);
      out_gradient_.make_ready(chunk);
      for (Thread& thread : threads_) {
        thread.columns.reserve(std::max(layout_.in_size(), d()) * kFloat);
        if (!emulates()) continue;
        thread.outputs.reserve(chunk * std::max(layout_.in_size(), d()) * kFloat);
        thread.inputs.reserve(chunk * std::max(d(), f()) * kFloat);
      }
    }
  }

  size_t items_of(int64_t sums) const {
    return static_cast<size_t>(sums * (in_gradient_.num_blocks() + out_gradient_.num_blocks() + 1));
  }

  void run_gemm(int thread, int64_t expert, Gemm gemm, int64_t rows, const std::byte* x,
                std::byte* y) {
    const auto& weights = packed_[expert][gemm];
    require(weights != nullptr, "trainable FFN: an expert has rows and no weights");
    gemms_[gemm].run(thread, {.weights = *weights,
                              .rows = rows,
                              .x = x,
                              .y = y,
                              .scratch = threads_[thread].scratch.data()});
  }

  void forward_tile(int thread_index, int64_t expert, const TileRows& tile, const FfnTape& tape) {
    Thread& thread = threads_[thread_index];
    const int64_t rows = tile.gemm_rows;
    const bool whole = tile.x.rows == rows && !emulates();
    if (tape.x.data != nullptr) std::memcpy(tape.x.data, tile.x.data, tile.x.bytes());
    const std::byte* const x =
        whole ? tile.x.data : stage_rows(tile.x, tile.first, rows, operand_, thread.rows);
    // Where it can, z is made where it is kept.
    const bool keeps_z = tape.z.data != nullptr;
    const bool in_place = keeps_z && whole && dtype_ == DType::f32;
    const MatrixView z{in_place ? tape.z.data : thread.z.data(), DType::f32, rows,
                       layout_.in_size()};
    run_gemm(thread_index, expert, kIn, rows, x, z.data);
    if (keeps_z && !in_place) {
      convert_from_float(z.row_as<float>(tile.first), tape.z.rows * tape.z.cols, dtype_,
                         tape.z.data);
    }
    activation_.forward(thread_index, z, thread.hidden.matrix(operand_, rows, f()));
    if (emulates()) {
      round_to_bf16({floats(thread.hidden), static_cast<size_t>(rows * f())});
    }
    run_gemm(thread_index, expert, kOut, rows, thread.hidden.data(),
             whole ? tile.out.data : thread.rows.data());
    if (!whole) unstage_rows(thread.rows, tile.first, operand_, tile.out);
  }

  void backward_tile(int thread_index, int64_t expert, const ExpertTile& tile,
                     const FfnBackwardRows& all) {
    Thread& thread = threads_[thread_index];
    const int64_t first = tile.first_row;
    const int64_t count = tile.count;
    const int64_t rows = ready_rows(count);
    const bool whole = count == rows && !emulates();
    const MatrixView gradient = all.gradient.slice(first, count);
    const MatrixView z_gradient = all.z.slice(first, count);
    std::memcpy(all.kept.row(first), gradient.data, gradient.bytes());
    run_gemm(thread_index, expert, kHiddenGradient, rows,
             whole ? gradient.data : stage_rows(gradient, 0, rows, operand_, thread.rows),
             thread.hidden_gradient.data());
    ConstMatrixView z = z_gradient;
    if (!all.has_z) {
      const ConstMatrixView x = all.x.slice(first, count);
      run_gemm(thread_index, expert, kIn, rows,
               whole ? x.data : stage_rows(x, 0, rows, operand_, thread.rows), thread.z.data());
      z = thread.z.matrix(DType::f32, count, layout_.in_size());
      if (dtype_ == DType::bf16) {
        round_to_bf16({floats(thread.z), static_cast<size_t>(z.rows * z.cols)});
      }
    }
    float* const weight_gradients =
        all.weight_gradients == nullptr ? nullptr : all.weight_gradients + first;
    activation_.backward(thread_index,
                         {.z = z,
                          .hidden_gradient = floats(thread.hidden_gradient),
                          .weights = all.weights == nullptr ? nullptr : all.weights + first,
                          .weight = all.weight,
                          .z_gradient = z_gradient,
                          .hidden = all.hidden.slice(first, count),
                          .weight_gradients = weight_gradients});
    if (weight_gradients != nullptr && layout_.biases.out) {
      add_bias_products(expert, gradient, weight_gradients);
    }
    run_gemm(thread_index, expert, kInputGradient, rows,
             whole ? z_gradient.data : stage_rows(z_gradient, 0, rows, operand_, thread.z_gradient),
             whole ? gradient.data : thread.rows.data());
    if (!whole) unstage_rows(thread.rows, 0, operand_, gradient);
  }

  /// What an output's bias adds to <gradient, output>.
  void add_bias_products(int64_t expert, ConstMatrixView gradient, float* products) {
    const float* const bias = values(expert).data() + layout_.bias_out();
    with_activation_type(dtype_, [&](auto zero) {
      for (int64_t row = 0; row < gradient.rows; ++row) {
        products[row] += lane_dot(gradient.row_as<decltype(zero)>(row), bias, d());
      }
    });
  }

  void add_item(int thread_index, const Item& item, const FfnBackwardRows& all) {
    const Range& rows = item.sum.rows;
    if (item.kind == Item::kBiases) {
      add_bias_gradients(thread_index, item.sum, all);
      return;
    }
    const bool is_in = item.kind == Item::kIn;
    const WeightGradientGemm& gemm = is_in ? in_gradient_ : out_gradient_;
    const ConstMatrixView outputs = is_in ? ConstMatrixView(all.z) : ConstMatrixView(all.kept);
    const ConstMatrixView inputs = is_in ? all.x : ConstMatrixView(all.hidden);
    float* const gradient = item.sum.gradient + (is_in ? 0 : layout_.w_out());
    Thread& thread = threads_[thread_index];
    const auto operand = [&](ConstMatrixView chunk, Buffer& to) -> const std::byte* {
      return emulates() ? stage_rows(chunk, 0, chunk.rows, operand_, to) : chunk.data;
    };
    for (int64_t begin = rows.begin; begin < rows.end; begin += WeightGradientGemm::kChunkRows) {
      const int64_t count = std::min(WeightGradientGemm::kChunkRows, rows.end - begin);
      gemm.run(thread_index, item.block, count,
               operand(outputs.slice(begin, count), thread.outputs),
               operand(inputs.slice(begin, count), thread.inputs), gradient);
    }
  }

  void add_bias_gradients(int thread_index, const GradientSum& sum, const FfnBackwardRows& all) {
    const Range& rows = sum.rows;
    float* const scratch = floats(threads_[thread_index].columns);
    if (layout_.biases.in) {
      add_column_sums(all.z.slice(rows.begin, rows.size()), nullptr, 1.0f, scratch,
                      sum.gradient + layout_.bias_in());
    }
    if (layout_.biases.out) {
      add_column_sums(all.kept.slice(rows.begin, rows.size()),
                      all.weights == nullptr ? nullptr : all.weights + rows.begin, all.weight,
                      scratch, sum.gradient + layout_.bias_out());
    }
  }

  FfnLayout layout_;
  DType dtype_;
  int threads_count_;
  GemmMaker maker_;
  DType operand_;
  TileGemms gemms_;
  FfnActivation activation_;
  WeightGradientGemm in_gradient_;
  WeightGradientGemm out_gradient_;
  std::vector<int64_t> gemm_rows_;  // by rows of a tile, once there is memory for them; else 0
  std::vector<Thread> threads_;
  std::vector<std::array<std::unique_ptr<PackedWeights>, kGemms>> packed_;  // by expert
  Buffer values_;     // [experts, layout.size()], fp32
  Buffer gradients_;  // the same
  Buffer pack_scratch_;
  std::vector<Item> items_;
  std::string implementation_;
};

TrainableFfn::TrainableFfn(const FfnLayout& layout, DType dtype, int64_t num_experts, int threads,
                           GemmLibrary library)
    : impl_(std::make_unique<Impl>(layout, dtype, num_experts, threads, library)) {}
TrainableFfn::~TrainableFfn() = default;
TrainableFfn::TrainableFfn(TrainableFfn&&) noexcept = default;
TrainableFfn& TrainableFfn::operator=(TrainableFfn&&) noexcept = default;

const FfnLayout& TrainableFfn::layout() const {
  return impl_->layout();
}

void TrainableFfn::set_expert(int64_t expert, const FfnWeights& weights) {
  impl_->set_expert(expert, weights);
}

std::span<float> TrainableFfn::values(int64_t expert) {
  return impl_->values(expert);
}

std::span<float> TrainableFfn::gradients(int64_t expert) {
  return impl_->gradients(expert);
}

void TrainableFfn::pack(int64_t expert) {
  impl_->pack(expert);
}

void TrainableFfn::prepare(std::span<const int64_t> expert_offsets) {
  impl_->prepare(expert_offsets);
}

void TrainableFfn::prepare_aligned(int64_t tile_rows) {
  impl_->prepare_aligned(tile_rows);
}

void TrainableFfn::prepare_all_tiles(int64_t most_rows) {
  impl_->prepare_all_tiles(most_rows);
}

void TrainableFfn::forward(std::span<const ExpertTile> tiles, MatrixView rows, int64_t first_expert,
                           const FfnTape& tape) {
  impl_->forward(tiles, rows, first_expert, tape);
}

void TrainableFfn::forward_aligned(ConstMatrixView x, int64_t first_row, int64_t tile_rows,
                                   MatrixView out, int64_t expert, const FfnTape& tape) {
  impl_->forward_aligned(x, first_row, tile_rows, out, expert, tape);
}

void TrainableFfn::backward(std::span<const ExpertTile> tiles, const FfnBackwardRows& rows,
                            int64_t first_expert) {
  impl_->backward(tiles, rows, first_expert);
}

void TrainableFfn::add_gradients(std::span<const GradientSum> sums, const FfnBackwardRows& rows) {
  impl_->add_gradients(sums, rows);
}

int64_t TrainableFfn::packed_bytes() const {
  return impl_->packed_bytes();
}

int64_t TrainableFfn::parameter_bytes() const {
  return impl_->parameter_bytes();
}

int64_t TrainableFfn::scratch_bytes() const {
  return impl_->scratch_bytes();
}

std::string_view TrainableFfn::implementation() const {
  return impl_->implementation();
}

}  // namespace hashep
