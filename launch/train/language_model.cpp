// SPDX-License-Identifier: Apache-2.0
#include "launch/train/language_model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string>

#include "core/random.hpp"
#include "kernels/gemm/sgemm.hpp"
#include "kernels/parallel.hpp"

namespace hashep {
namespace {

constexpr float kEpsilon = 1e-6f;  // of RMSNorm
constexpr uint64_t kEmbeddingTag = 101;
constexpr uint64_t kMixingTag = 102;

ConstMatrixView row_view(const float* first, int64_t rows, int64_t cols) {
  return {reinterpret_cast<const std::byte*>(first), DType::f32, rows, cols};
}

/// 1 / sqrt(mean of squares + epsilon).
float inverse_rms(const float* x, int64_t count) {
  double squares = 0.0;
  for (int64_t i = 0; i < count; ++i)
    squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return static_cast<float>(
      1.0 / std::sqrt(squares / static_cast<double>(count) + static_cast<double>(kEpsilon)));
}

/// out <- x / rms(x) * gains.
void normalise_row(const float* x, const float* gains, int64_t count, float* out) {
  const float inverse = inverse_rms(x, count);
  for (int64_t i = 0; i < count; ++i) out[i] = x[i] * inverse * gains[i];
}

/// With n = x / rms(x): of_gains += of_out * n, gradient += (g - n mean(g n)) / rms(x), g being
/// of_out * gains.
void normalise_row_backward(const float* x, const float* gains, const float* of_out, int64_t count,
                            float* of_gains, float* gradient) {
  const float inverse = inverse_rms(x, count);
  double product = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    const float n = x[i] * inverse;
    product += static_cast<double>(of_out[i] * gains[i]) * static_cast<double>(n);
    of_gains[i] += of_out[i] * n;
  }
  const auto mean = static_cast<float>(product / static_cast<double>(count));
  for (int64_t i = 0; i < count; ++i) {
    gradient[i] += (of_out[i] * gains[i] - x[i] * inverse * mean) * inverse;
  }
}

/// logits <- (softmax(logits) - target) * scale; returns -log of the target's probability. Without
/// a target 0, and zeros.
double softmax_loss(std::span<float> logits, int32_t target, double scale) {
  if (target == kPaddingId) {
    std::ranges::fill(logits, 0.0f);
    return 0.0;
  }
  const float most = *std::ranges::max_element(logits);
  const float wanted = logits[static_cast<size_t>(target)];
  double sum = 0.0;
  for (float& logit : logits) {
    logit = std::exp(logit - most);
    sum += static_cast<double>(logit);
  }
  const auto factor = static_cast<float>(scale / sum);
  for (float& logit : logits) logit *= factor;
  logits[static_cast<size_t>(target)] -= static_cast<float>(scale);
  return std::log(sum) - static_cast<double>(wanted - most);
}

}  // namespace

LanguageModel::Matrix::Matrix(const Context& context, int64_t row_count, int64_t col_count)
    : rows(row_count),
      cols(col_count),
      values(rows * cols * dtype_size(DType::f32)),
      gradient(values.capacity()),
      sum(context, rows, cols) {
  std::fill_n(gradient.data(), gradient.capacity(), std::byte{0});
}

LanguageModel::LanguageModel(const Context& context, const LanguageModelShape& shape, uint64_t seed)
    : context_(context),
      shape_(shape),
      threads_(context.options().threads),
      embedding_(context, shape.vocab_size, shape.hidden_size),
      mixing_(context, shape.context * shape.hidden_size, shape.hidden_size),
      losses_(context, 1, 2) {
  const auto fill = [](Matrix& matrix, uint64_t key, int64_t width) {
    const std::span values(matrix.floats(), static_cast<size_t>(matrix.rows * matrix.cols));
    fill_normal(key, 0, values);
    const float deviation = 1.0f / std::sqrt(static_cast<float>(width));
    for (float& value : values) value *= deviation;
  };
  fill(embedding_, derive_key(seed, kEmbeddingTag), shape.hidden_size);
  fill(mixing_, derive_key(seed, kMixingTag), mixing_.rows);
  gains_.reserve(static_cast<size_t>(shape.num_layers) + 1);
  for (int64_t layer = 0; layer <= shape.num_layers; ++layer) {
    std::fill_n(gains_.emplace_back(context, 1, shape.hidden_size).floats(), shape.hidden_size,
                1.0f);
  }
}

std::vector<Parameter> LanguageModel::parameters() {
  std::vector<Parameter> found;
  const auto add = [&](std::string name, Matrix& matrix) {
    found.push_back({std::move(name), 0, -1, matrix.view(),
                     matrix.gradient.matrix(DType::f32, matrix.rows, matrix.cols)});
  };
  add("embed.weight", embedding_);
  add("context.weight", mixing_);
  for (size_t layer = 0; layer < gains_.size(); ++layer) {
    add("norms." + std::to_string(layer) + ".weight", gains_[layer]);
  }
  return found;
}

/// Calls body(first, count, part) for gradient blocks of this rank's tokens, several at once, which
/// returns what is to be done when they are: in the blocks' order, by one thread.
template <typename Body>
void LanguageModel::for_each_block(int64_t tokens, const Body& body) {
  const int64_t size = shape_.gradient_block;
  const int64_t blocks = (tokens + size - 1) / size;
  std::vector<std::function<void()>> after(static_cast<size_t>(threads_));
  for (int64_t first = 0; first < blocks; first += threads_) {
    const int64_t wave = std::min<int64_t>(threads_, blocks - first);
    parallel_items(wave, threads_, [&](int, int64_t item) {
      const int64_t begin = (first + item) * size;
      after[static_cast<size_t>(item)] = body(begin, std::min(size, tokens - begin));
    });
    for (int64_t item = 0; item < wave; ++item) after[static_cast<size_t>(item)]();
  }
}

/// The embeddings of each token's context, one after the other, times sqrt(hidden_size): [count,
/// context * hidden_size].
void LanguageModel::gather(const TextBatch& batch, int64_t first, int64_t count,
                           float* rows) const {
  const int64_t d = shape_.hidden_size;
  const float scale = std::sqrt(static_cast<float>(d));
  for (int64_t token = first; token < first + count; ++token) {
    for (int64_t back = 0; back < shape_.context; ++back, rows += d) {
      const int32_t id = batch.context(token, back);
      if (id == kPaddingId) {
        std::fill_n(rows, d, 0.0f);
        continue;
      }
      const float* const embedding = embedding_.floats() + id * d;
      for (int64_t i = 0; i < d; ++i) rows[i] = scale * embedding[i];
    }
  }
}

void LanguageModel::begin(const TextBatch& batch, std::span<float> x) {
  const int64_t d = shape_.hidden_size;
  for_each_block(batch.tokens(), [&](int64_t first, int64_t count) -> std::function<void()> {
    std::vector<float> rows(static_cast<size_t>(count * mixing_.rows));
    gather(batch, first, count, rows.data());
    sgemm(count, d, mixing_.rows, {rows.data(), mixing_.rows}, {mixing_.floats(), d}, 0.0f,
          x.data() + first * d, d);
    return [] {};
  });
}

void LanguageModel::normalise(int64_t layer, std::span<const float> x, MatrixView out) {
  const int64_t d = shape_.hidden_size;
  const float* const gains = gains_[static_cast<size_t>(layer)].floats();
  parallel_ranges(out.rows, threads_, 64, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(d));
    for (int64_t token = begin; token < end; ++token) {
      normalise_row(x.data() + token * d, gains, d, row.data());
      convert_from_float(row.data(), d, out.dtype, out.row(token));
    }
  });
}

PredictionLoss LanguageModel::predict(const TextBatch& batch, std::span<const float> x,
                                      double scale, std::span<float> gradient) {
  const int64_t d = shape_.hidden_size;
  const int64_t v = shape_.vocab_size;
  Matrix& last = gains_.back();
  for_each_block(batch.tokens(), [&](int64_t first, int64_t count) -> std::function<void()> {
    std::vector<float> rows(static_cast<size_t>(count * d));
    std::vector<float> logits(static_cast<size_t>(count * v));
    for (int64_t i = 0; i < count; ++i) {
      normalise_row(x.data() + (first + i) * d, last.floats(), d, rows.data() + i * d);
    }
    sgemm(count, v, d, {rows.data(), d}, {embedding_.floats(), d, true}, 0.0f, logits.data(), v);
    double loss = 0.0;
    int64_t targets = 0;
    for (int64_t i = 0; i < count; ++i) {
      const int32_t target = batch.target(first + i);
      targets += target == kPaddingId ? 0 : 1;
      loss += softmax_loss(
          std::span(logits).subspan(static_cast<size_t>(i * v), static_cast<size_t>(v)), target,
          scale);
    }
    const std::array<float, 2> sums{static_cast<float>(loss), static_cast<float>(targets)};
    if (gradient.empty()) {
      return [this, sums] { losses_.add(row_view(sums.data(), 1, 2)); };
    }
    std::vector<float> of_embedding(static_cast<size_t>(v * d));
    sgemm(v, d, count, {logits.data(), v, true}, {rows.data(), d}, 0.0f, of_embedding.data(), d);
    sgemm(count, d, v, {logits.data(), v}, {embedding_.floats(), d}, 0.0f, rows.data(), d);
    std::vector<float> of_gains(static_cast<size_t>(d));
    float* const of_x = gradient.data() + first * d;
    std::fill_n(of_x, count * d, 0.0f);
    for (int64_t i = 0; i < count; ++i) {
      normalise_row_backward(x.data() + (first + i) * d, last.floats(), rows.data() + i * d, d,
                             of_gains.data(), of_x + i * d);
    }
    return [this, sums, &last, d, v, of_embedding = std::move(of_embedding),
            of_gains = std::move(of_gains)] {
      losses_.add(row_view(sums.data(), 1, 2));
      embedding_.sum.add(row_view(of_embedding.data(), v, d));
      last.sum.add(row_view(of_gains.data(), 1, d));
    };
  });
  std::array<float, 2> sums{};
  losses_.finish({reinterpret_cast<std::byte*>(sums.data()), DType::f32, 1, 2});
  return {static_cast<double>(sums[0]), static_cast<int64_t>(sums[1])};
}

void LanguageModel::normalise_backward(int64_t layer, std::span<const float> x,
                                       ConstMatrixView of_out, std::span<float> gradient) {
  const int64_t d = shape_.hidden_size;
  Matrix& gains = gains_[static_cast<size_t>(layer)];
  for_each_block(of_out.rows, [&](int64_t first, int64_t count) -> std::function<void()> {
    std::vector<float> of_gains(static_cast<size_t>(d));
    std::vector<float> row(static_cast<size_t>(d));
    for (int64_t token = first; token < first + count; ++token) {
      convert_to_float(of_out.dtype, of_out.row(token), d, row.data());
      normalise_row_backward(x.data() + token * d, gains.floats(), row.data(), d, of_gains.data(),
                             gradient.data() + token * d);
    }
    return [&gains, d, of_gains = std::move(of_gains)] {
      gains.sum.add(row_view(of_gains.data(), 1, d));
    };
  });
}

void LanguageModel::begin_backward(const TextBatch& batch, std::span<const float> gradient) {
  const int64_t d = shape_.hidden_size;
  const int64_t width = mixing_.rows;
  const float scale = std::sqrt(static_cast<float>(d));
  for_each_block(batch.tokens(), [&](int64_t first, int64_t count) -> std::function<void()> {
    std::vector<float> rows(static_cast<size_t>(count * width));
    std::vector<float> of_mixing(static_cast<size_t>(width * d));
    const float* const of_x = gradient.data() + first * d;
    gather(batch, first, count, rows.data());
    sgemm(width, d, count, {rows.data(), width, true}, {of_x, d}, 0.0f, of_mixing.data(), d);
    sgemm(count, width, d, {of_x, d}, {mixing_.floats(), d, true}, 0.0f, rows.data(), width);
    std::vector<float> of_embedding(static_cast<size_t>(shape_.vocab_size * d));
    const float* of_row = rows.data();
    for (int64_t token = first; token < first + count; ++token) {
      for (int64_t back = 0; back < shape_.context; ++back, of_row += d) {
        const int32_t id = batch.context(token, back);
        if (id == kPaddingId) continue;
        float* const to = of_embedding.data() + id * d;
        for (int64_t i = 0; i < d; ++i) to[i] += scale * of_row[i];
      }
    }
    return
        [this, d, width, of_mixing = std::move(of_mixing), of_embedding = std::move(of_embedding)] {
          mixing_.sum.add(row_view(of_mixing.data(), width, d));
          embedding_.sum.add(row_view(of_embedding.data(), shape_.vocab_size, d));
        };
  });
}

void LanguageModel::sum_gradients() {
  const auto finish = [](Matrix& matrix) {
    matrix.sum.finish(matrix.gradient.matrix(DType::f32, matrix.rows, matrix.cols));
  };
  finish(embedding_);
  finish(mixing_);
  for (Matrix& gains : gains_) finish(gains);
}

}  // namespace hashep
