// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/context.hpp"
#include "hashep/reproducible_sum.hpp"
#include "hashep/training.hpp"
#include "launch/train/train_tokens.hpp"

namespace hashep {

/// Sizes of a LanguageModel.
struct LanguageModelShape {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t context = 1;         // n
  int64_t gradient_block = 1;  // tokens
};

/// What a batch's tokens were predicted like.
struct PredictionLoss {
  double sum = 0.0;     // of -log p(next token), over all ranks
  int64_t targets = 0;  // tokens that had one

  double mean() const { return targets == 0 ? 0.0 : sum / static_cast<double>(targets); }
};

/// All of a neural n-gram language model but its layers (Bengio et al., "A Neural Probabilistic
/// Language Model", 2003): x = [E(t), E(t-1), ... E(t-n+1)] C at first, RMSNorm before each layer
/// and behind the last, and p = softmax(E x), E being the same embeddings (Press and Wolf, arXiv
/// 1608.05859). All ranks hold it; its gradients are made by gradient blocks and summed exactly, so
/// that they have the same bits on any number of ranks. In fp32.
class LanguageModel {
 public:
  /// Seeded parameters. `context` must outlive the model. Collective.
  LanguageModel(const Context& context, const LanguageModelShape& shape, uint64_t seed);

  /// For AdamW. Valid as long as the model.
  std::vector<Parameter> parameters();

  /// x <- the beginning of each token. [tokens, hidden_size]. Local.
  void begin(const TextBatch& batch, std::span<float> x);
  /// out <- RMSNorm(x) with the gains before layer `layer`, num_layers being behind the last, in
  /// out.dtype. Local.
  void normalise(int64_t layer, std::span<const float> x, MatrixView out);
  /// The loss of predictions from x, of all ranks. `gradient`, unless empty, becomes that of x,
  /// scaled by `scale`, and gradients of E and the last gains are added. Collective.
  PredictionLoss predict(const TextBatch& batch, std::span<const float> x, double scale,
                         std::span<float> gradient);
  /// gradient <- gradient + that of x through normalise, where `of_out` is that of `out`; the
  /// gains' is added. Local.
  void normalise_backward(int64_t layer, std::span<const float> x, ConstMatrixView of_out,
                          std::span<float> gradient);
  /// Adds the gradients of E and C, where `gradient` is that of x. Local.
  void begin_backward(const TextBatch& batch, std::span<const float> gradient);
  /// Makes the gradients of parameters those that were added by all ranks. Collective.
  void sum_gradients();

 private:
  struct Matrix {
    Matrix(const Context& context, int64_t rows, int64_t cols);
    MatrixView view() { return values.matrix(DType::f32, rows, cols); }
    const float* floats() const { return reinterpret_cast<const float*>(values.data()); }
    float* floats() { return reinterpret_cast<float*>(values.data()); }

    int64_t rows;
    int64_t cols;
    Buffer values;
    Buffer gradient;
    ReproducibleSum sum;
  };
  struct Room;  // of one thread

  template <typename Body>
  void for_each_block(int64_t tokens, const Body& body);
  void gather(const TextBatch& batch, int64_t first, int64_t count, float* rows) const;

  const Context& context_;
  LanguageModelShape shape_;
  int threads_;
  Matrix embedding_;           // E: [vocab_size, hidden_size]
  Matrix mixing_;              // C: [context * hidden_size, hidden_size]
  std::vector<Matrix> gains_;  // [num_layers + 1] of [1, hidden_size]
  ReproducibleSum losses_;     // [1, 2]: sum of losses, targets
};

}  // namespace hashep
