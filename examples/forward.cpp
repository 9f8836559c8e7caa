// SPDX-License-Identifier: Apache-2.0
// A layer with weights and ids of one's own, on any number of ranks: mpirun -np 2 forward
// Expert e multiplies a token's state by e + 1, so that the result tells who computed it.
#include <cstdio>
#include <hashep/hashep.hpp>
#include <vector>

constexpr int64_t kTokens = 100, kHidden = 8, kExperts = 16;

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  bool good = true;
  {
    const hashep::Context context(MPI_COMM_WORLD);

    // W2 relu(W1 x), W1 being 1 and W2 being e + 1 on the diagonal. Asked for this rank's experts.
    std::vector<float> w1(kHidden * kHidden), w2(kHidden * kHidden);
    const auto find = [&](int64_t /*layer*/, int64_t expert) -> hashep::FfnWeights {
      for (int64_t i = 0; i < kHidden * kHidden; i += kHidden + 1) w1[i] = 1, w2[i] = expert + 1;
      return {.w1 = hashep::matrix_view(w1, kHidden), .w2 = hashep::matrix_view(w2, kHidden)};
    };
    const hashep::StackShape shape{.num_layers = 1,
                                   .hidden_size = kHidden,
                                   .ffn_size = kHidden,
                                   .num_experts = kExperts,
                                   .activation = hashep::Activation::relu};
    const hashep::HashRouter router({.vocab_size = 1000, .seed = 7});
    hashep::Stack stack(context, shape, router, hashep::ArrayWeights({find}), {.residual = false});

    std::vector<int32_t> ids(kTokens);  // this rank's own
    for (int64_t i = 0; i < kTokens; ++i) ids[i] = (37 * i + 11 * context.rank()) % 1000;
    std::vector<float> x(kTokens * kHidden, 0.5f), y(kTokens * kHidden);
    const hashep::Batch batch = stack.submit({.ids = ids, .seq_len = kTokens});
    stack.forward(batch, hashep::matrix_view(x, kHidden), hashep::matrix_view(y, kHidden));

    const std::vector<int32_t>& experts = stack.plan(batch, 0).experts;
    for (int64_t i = 0; i < kTokens * kHidden; ++i)
      good = good && y[i] == 0.5f * (experts[i / kHidden] + 1);
    std::printf("rank %d of %d: %s\n", context.rank(), context.size(),
                good ? "each token came back from its own expert" : "WRONG");
  }
  MPI_Finalize();
  return good ? 0 : 1;
}
