// SPDX-License-Identifier: Apache-2.0
// Training: a layer learns a vector for each token id. All tokens have the same hidden state, so
// that only routing tells them apart; each id has an expert of its own: mpirun -np 2 train
#include <cmath>
#include <cstdio>
#include <hashep/hashep.hpp>
#include <numeric>
#include <vector>

constexpr int64_t kTokens = 256;  // of each rank
constexpr int64_t kHidden = 16;
constexpr int32_t kVocabulary = 64;

/// What the model is to say of a token.
float target(int32_t id, int64_t column) {
  return std::sin(0.37f * static_cast<float>(id * (column + 1)));
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  double first_loss = 0.0, loss = 0.0;
  {
    const hashep::Context context(MPI_COMM_WORLD);
    std::vector<int32_t> table(kVocabulary);
    std::iota(table.begin(), table.end(), 0);
    const hashep::StackShape shape{
        .num_layers = 1, .hidden_size = kHidden, .ffn_size = 32, .num_experts = kVocabulary};
    const hashep::TableRouter router({{.vocab_size = kVocabulary, .experts = table}}, kVocabulary);
    hashep::Stack stack(context, shape, router,
                        *hashep::make_synthetic_weights(shape, hashep::DType::f32, 1),
                        {.residual = false, .training = hashep::TrainingOptions{}});
    hashep::AdamW optimizer(stack, {.weight_decay = 0.0f});

    std::vector<int32_t> ids(kTokens);
    for (int64_t i = 0; i < kTokens; ++i) {
      ids[i] = static_cast<int32_t>((31 * i + 7 * context.rank()) % kVocabulary);
    }
    const std::vector<float> x(kTokens * kHidden, 1.0f);
    std::vector<float> y(x.size()), dy(x.size());
    const double tokens = static_cast<double>(kTokens * context.size());
    hashep::Tape tape;
    for (int step = 0; step < 200; ++step) {
      const hashep::Batch batch = stack.submit({.ids = ids, .seq_len = kTokens});
      stack.forward(batch, hashep::matrix_view(x, kHidden), hashep::matrix_view(y, kHidden), tape);
      // Half the squared distance, on the average over all tokens.
      double sum = 0.0;
      for (size_t i = 0; i < y.size(); ++i) {
        const float error = y[i] - target(ids[i / kHidden], static_cast<int64_t>(i % kHidden));
        sum += 0.5 * error * error / tokens;
        dy[i] = error / static_cast<float>(tokens);
      }
      MPI_Allreduce(&sum, &loss, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
      if (step == 0) first_loss = loss;
      stack.backward(batch, tape, hashep::matrix_view(dy, kHidden),
                     hashep::matrix_view(dy, kHidden));
      optimizer.step(0.01f);
    }
    if (context.rank() == 0) std::printf("loss: %.4f, then %.6f\n", first_loss, loss);
  }
  MPI_Finalize();
  return loss < 0.01 * first_loss ? 0 : 1;
}
