// SPDX-License-Identifier: Apache-2.0
// A router of one's own: tokens of the same sequence stay with the same experts. A router is a pure
// function of ids and positions, alike on all ranks: mpirun -np 2 own_router
#include <cstdio>
#include <hashep/hashep.hpp>
#include <vector>

namespace {

constexpr int64_t kHidden = 16;

/// Token i of a sequence goes to the experts that its position picks, block by block.
class BlockRouter final : public hashep::Router {
 public:
  explicit BlockRouter(int64_t block) : block_(block) {}

  void route(const hashep::TokenBatch& batch, const hashep::RoutedLayer& layer,
             std::span<int32_t> experts) const override {
    for (size_t i = 0; i < batch.ids.size(); ++i) {
      const int64_t position = (batch.first_position + static_cast<int64_t>(i)) % batch.seq_len;
      for (int j = 0; j < layer.top_k; ++j) {
        // Distinct experts, and -1 for padding.
        const int64_t expert = (position / block_ + layer.layer + j) % layer.num_experts;
        experts[i * static_cast<size_t>(layer.top_k) + static_cast<size_t>(j)] =
            batch.ids[i] == hashep::kPaddingId ? -1 : static_cast<int32_t>(expert);
      }
    }
  }
  // What ranks compare: all that the routing depends on.
  uint64_t digest() const override { return static_cast<uint64_t>(block_); }

 private:
  int64_t block_;
};

/// The output for the tokens [first, first + count) of a batch of 64, by the ranks of `comm`.
std::vector<float> run(MPI_Comm comm, int64_t first, int64_t count) {
  const hashep::StackShape shape{
      .num_layers = 2, .hidden_size = kHidden, .ffn_size = 32, .num_experts = 8, .top_k = 2};
  const hashep::Context context(comm);
  const auto weights = hashep::make_synthetic_weights(shape, hashep::DType::f32, 1);
  hashep::Stack stack(context, shape, BlockRouter(4), *weights);

  std::vector<int32_t> ids(count, 1);
  std::vector<float> x;
  for (int64_t i = first * kHidden; i < (first + count) * kHidden; ++i) {
    x.push_back(static_cast<float>(i % 7) - 3.0f);
  }
  const auto batch = stack.submit({.ids = ids, .seq_len = 32, .first_position = first % 32});
  stack.forward(batch, hashep::matrix_view(x, kHidden), hashep::matrix_view(x, kHidden));
  return x;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);

  // All ranks together, and then each one alone with the whole batch: the same bits.
  const int64_t first = 64 * rank / size;
  const int64_t count = 64 * (rank + 1) / size - first;
  const std::vector<float> together = run(MPI_COMM_WORLD, first, count);
  const std::vector<float> alone = run(MPI_COMM_SELF, 0, 64);
  bool good = true;
  for (size_t i = 0; i < together.size(); ++i) {
    good = good && together[i] == alone[static_cast<size_t>(first * kHidden) + i];
  }
  std::printf("rank %d of %d: %s\n", rank, size,
              good ? "routed by block, with the bits of one rank" : "WRONG");
  MPI_Finalize();
  return good ? 0 : 1;
}
