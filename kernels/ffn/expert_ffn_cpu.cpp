// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "hashep/error.hpp"
#include "kernels/ffn/expert_ffn.hpp"
#include "kernels/ffn/ffn_tile_runner.hpp"
#include "kernels/ffn/tiles.hpp"
#include "kernels/parallel.hpp"

namespace hashep {
namespace {

std::string shape_text(const ConstMatrixView& matrix) {
  return "[" + std::to_string(matrix.rows) + ", " + std::to_string(matrix.cols) + "]";
}

}  // namespace

class ExpertFfn::Impl {
 public:
  Impl(const FfnShape& shape, DType dtype, int64_t num_experts, int threads, GemmLibrary library)
      : shape_(checked(shape, dtype, num_experts, threads)),
        dtype_(dtype),
        threads_(threads),
        runner_(shape, dtype, threads, library),
        experts_(num_experts) {}

  void set_expert(int64_t expert, const FfnWeights& weights, int threads) {
    if (expert < 0 || expert >= std::ssize(experts_)) {
      throw RunError("set_expert: no expert " + std::to_string(expert) + " among " +
                     std::to_string(experts_.size()));
    }
    check_weights(shape_, weights, expert);
    const OmpThreads team(threads > 0 ? threads : threads_);
    if (!experts_[expert]) experts_[expert].emplace();
    runner_.pack(weights, *experts_[expert]);
  }
  void expect_quantised() { runner_.expect_quantised(); }

  void prepare(std::span<const int64_t> offsets) {
    require_offsets(offsets, 0);
    size_t tiles = 0;
    for_each_tile(offsets, [&](const ExpertTile& tile) {
      runner_.make_ready(tile.count);
      ++tiles;
    });
    tiles_.reserve(tiles);
  }

  void prepare_all_tiles(int64_t most_rows) {
    for (int64_t rows = 1; rows <= std::min(most_rows, kMostTileRows); ++rows) {
      runner_.make_kernels(rows);
    }
  }

  void run(std::span<const int64_t> offsets, MatrixView rows, int64_t first_expert) {
    require_offsets(offsets, first_expert);
    require_matrix(rows, offsets.back(), "rows");
    size_t tiles = 0;
    for_each_tile(offsets, [&](const ExpertTile& tile) {
      require_ready(tile.count);
      ++tiles;
    });
    if (tiles > tiles_.capacity()) throw RunError("expert FFN: run without prepare");
    tiles_.clear();
    for_each_tile(offsets, [&](const ExpertTile& tile) { tiles_.push_back(tile); });
    run_tiles(tiles_, rows, first_expert);
  }

  void run_tiles(std::span<const ExpertTile> tiles, MatrixView rows, int64_t first_expert) {
    for (const ExpertTile& tile : tiles) {
      require_ready(tile.count);
      require_expert(first_expert + tile.expert);
    }
    // Which thread runs a tile changes no bit of its result.
    parallel_items(std::ssize(tiles), threads_, [&](int thread, int64_t item) {
      const ExpertTile& tile = tiles[item];
      const MatrixView part = rows.slice(tile.first_row, tile.count);
      runner_.run(thread, *experts_[first_expert + tile.expert],
                  {part, part, 0, runner_.gemm_rows(tile.count)});
    });
  }

  void prepare_aligned_kernels(int64_t tile_rows) {
    require_tile_rows(tile_rows);
    runner_.make_kernels(tile_rows);
  }

  void prepare_aligned(int64_t tile_rows) {
    require_tile_rows(tile_rows);
    runner_.make_ready(tile_rows);
  }

  void run_aligned(ConstMatrixView x, int64_t first_row, int64_t tile_rows, MatrixView out,
                   int64_t expert) {
    if (x.rows == 0) return;
    require_matrix(x, out.rows, "x");
    require_matrix(out, x.rows, "out");
    if (first_row < 0 || tile_rows < 1 || tile_rows > kMostTileRows || expert < 0 ||
        expert >= std::ssize(experts_)) {
      throw RunError("expert FFN: run_aligned from row " + std::to_string(first_row) +
                     " in tiles of " + std::to_string(tile_rows) + " by expert " +
                     std::to_string(expert));
    }
    require_ready(tile_rows);
    require_expert(expert);
    const int64_t first_tile = first_row / tile_rows;
    const int64_t last_tile = (first_row + x.rows - 1) / tile_rows;
    parallel_items(last_tile - first_tile + 1, threads_, [&](int thread, int64_t item) {
      const int64_t tile_begin = (first_tile + item) * tile_rows;
      const int64_t begin = std::max(tile_begin, first_row);
      const int64_t count = std::min(tile_begin + tile_rows, first_row + x.rows) - begin;
      runner_.run(thread, *experts_[expert],
                  {x.slice(begin - first_row, count), out.slice(begin - first_row, count),
                   begin - tile_begin, runner_.gemm_rows(tile_rows)});
    });
  }

  int64_t weight_bytes() const {
    int64_t sum = 0;
    for (const auto& expert : experts_) sum += expert.has_value() ? expert->bytes() : 0;
    return sum;
  }

  const FfnTileRunner& runner() const { return runner_; }

 private:
  static const FfnShape& checked(const FfnShape& shape, DType dtype, int64_t num_experts,
                                 int threads) {
    if (shape.hidden_size < 1 || shape.ffn_size < 1) {
      throw InputError("expert FFN: hidden_size " + std::to_string(shape.hidden_size) +
                       " and ffn_size " + std::to_string(shape.ffn_size) + " must be positive");
    }
    if (dtype != DType::f32 && dtype != DType::bf16) {
      throw InputError("expert FFN: dtype " + std::string(dtype_name(dtype)) +
                       ", expected fp32 or bf16");
    }
    if (num_experts < 0 || threads < 1) {
      throw InputError("expert FFN: " + std::to_string(num_experts) + " experts on " +
                       std::to_string(threads) + " threads");
    }
    return shape;
  }

  void require_offsets(std::span<const int64_t> offsets, int64_t first_expert) const {
    if (!offsets.empty() && first_expert >= 0 &&
        first_expert + std::ssize(offsets) - 1 <= std::ssize(experts_) && offsets.front() == 0 &&
        std::is_sorted(offsets.begin(), offsets.end())) {
      return;
    }
    throw RunError("expert FFN: expert_offsets must rise from 0 and number at most " +
                   std::to_string(std::ssize(experts_) - first_expert + 1));
  }

  void require_matrix(const ConstMatrixView& matrix, int64_t rows, const char* name) const {
    if (matrix.rows == rows && (rows == 0 || matrix.cols == shape_.hidden_size) &&
        (rows == 0 || matrix.dtype == dtype_)) {
      return;
    }
    throw RunError("expert FFN: " + std::string(name) + " is " + shape_text(matrix) + " " +
                   std::string(dtype_name(matrix.dtype)) + ", expected [" + std::to_string(rows) +
                   ", " + std::to_string(shape_.hidden_size) + "] " +
                   std::string(dtype_name(dtype_)));
  }

  static void require_tile_rows(int64_t rows) {
    if (rows >= 1 && rows <= kMostTileRows) return;
    throw RunError("expert FFN: tiles of " + std::to_string(rows) + " rows, expected 1 to " +
                   std::to_string(kMostTileRows));
  }

  void require_ready(int64_t rows) const {
    if (runner_.gemm_rows(rows) == 0) {
      throw RunError("expert FFN: tiles of " + std::to_string(rows) + " rows were not prepared");
    }
  }

  void require_expert(int64_t expert) const {
    if (!experts_[expert].has_value()) {
      throw RunError("expert FFN: expert " + std::to_string(expert) + " has rows and no weights");
    }
  }

  FfnShape shape_;
  DType dtype_;
  int threads_;
  FfnTileRunner runner_;
  std::vector<std::optional<PackedExpert>> experts_;
  std::vector<ExpertTile> tiles_;
};

ExpertFfn::ExpertFfn(const FfnShape& shape, DType dtype, int64_t num_experts, int threads,
                     GemmLibrary library)
    : impl_(std::make_unique<Impl>(shape, dtype, num_experts, threads, library)) {}
ExpertFfn::~ExpertFfn() = default;
ExpertFfn::ExpertFfn(ExpertFfn&&) noexcept = default;
ExpertFfn& ExpertFfn::operator=(ExpertFfn&&) noexcept = default;

void ExpertFfn::set_expert(int64_t expert, const FfnWeights& weights, int threads) {
  impl_->set_expert(expert, weights, threads);
}

void ExpertFfn::expect_quantised() {
  impl_->expect_quantised();
}

void ExpertFfn::prepare(std::span<const int64_t> expert_offsets) {
  impl_->prepare(expert_offsets);
}

void ExpertFfn::run(std::span<const int64_t> expert_offsets, MatrixView rows,
                    int64_t first_expert) {
  impl_->run(expert_offsets, rows, first_expert);
}

void ExpertFfn::run_tiles(std::span<const ExpertTile> tiles, MatrixView rows,
                          int64_t first_expert) {
  impl_->run_tiles(tiles, rows, first_expert);
}

void ExpertFfn::prepare_all_tiles(int64_t most_rows) {
  impl_->prepare_all_tiles(most_rows);
}

void ExpertFfn::prepare_aligned_kernels(int64_t tile_rows) {
  impl_->prepare_aligned_kernels(tile_rows);
}

void ExpertFfn::prepare_aligned(int64_t tile_rows) {
  impl_->prepare_aligned(tile_rows);
}

void ExpertFfn::run_aligned(ConstMatrixView x, int64_t first_row, int64_t tile_rows, MatrixView out,
                            int64_t expert) {
  impl_->run_aligned(x, first_row, tile_rows, out, expert);
}

int64_t ExpertFfn::weight_bytes() const {
  return impl_->weight_bytes();
}

int64_t ExpertFfn::scratch_bytes() const {
  return impl_->runner().scratch_bytes();
}

std::string_view ExpertFfn::implementation() const {
  return impl_->runner().implementation();
}

}  // namespace hashep
