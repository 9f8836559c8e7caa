// SPDX-License-Identifier: Apache-2.0
// Decoding: ids are known one step at a time, each from the output of the step before. Sequences
// are shared out unevenly, and end at different lengths, so that ranks have different numbers of
// tokens, and some have none: mpirun -np 3 decode
#include <algorithm>
#include <cstdio>
#include <hashep/hashep.hpp>
#include <vector>

namespace {

constexpr int64_t kHidden = 32, kSequences = 5, kMostSteps = 12;
constexpr int32_t kVocabulary = 500;

const hashep::StackShape kShape{
    .num_layers = 2, .hidden_size = kHidden, .ffn_size = 64, .num_experts = 12, .top_k = 2};

struct Sequence {
  int64_t number;
  std::vector<int32_t> ids;

  int64_t length() const { return static_cast<int64_t>(ids.size()); }
  bool is_done() const { return length() > 4 + 2 * number; }
};

/// A made-up embedding and a made-up head, in place of the rest of a model.
void embed(int32_t id, float* row) {
  for (int64_t i = 0; i < kHidden; ++i)
    row[i] = static_cast<float>((id * 31 + i * 17) % 23 - 11) / 8;
}
int32_t sample(const float* row) {
  const auto largest = std::max_element(row, row + kHidden) - row;
  const auto smallest = std::min_element(row, row + kHidden) - row;
  return static_cast<int32_t>((largest * kHidden + smallest) % kVocabulary);
}

/// Decodes sequences [begin, end), together with what the other ranks of `comm` decode.
std::vector<Sequence> decode(MPI_Comm comm, int64_t begin, int64_t end) {
  const hashep::Context context(comm);
  const auto weights = hashep::make_synthetic_weights(kShape, hashep::DType::f32, 3);
  // Experts follow from a token's id and the one before.
  hashep::Stack stack(
      context, kShape,
      hashep::HashRouter(
          {.vocab_size = kVocabulary, .seed = 5, .feature = hashep::HashFeature::bigram}),
      *weights);

  std::vector<Sequence> sequences;
  for (int64_t number = begin; number < end; ++number) {
    sequences.push_back({number, {static_cast<int32_t>(number * 97 + 1)}});
  }
  std::vector<int32_t> ids, previous;
  std::vector<int64_t> positions;
  std::vector<float> x;
  for (int64_t step = 0; step < kMostSteps; ++step) {  // as many on all ranks
    ids.clear(), previous.clear(), positions.clear();
    for (const Sequence& sequence : sequences) {
      if (sequence.is_done()) continue;
      ids.push_back(sequence.ids.back());
      positions.push_back(sequence.length() - 1);
      previous.push_back(sequence.length() > 1 ? sequence.ids[sequence.ids.size() - 2] : -1);
    }
    // Planning begins here; a model computes its attention meanwhile.
    const auto batch = stack.submit({.ids = ids, .positions = positions, .previous_ids = previous});
    x.resize(ids.size() * kHidden);
    for (size_t i = 0; i < ids.size(); ++i) embed(ids[i], x.data() + i * kHidden);
    stack.forward(batch, hashep::matrix_view(x, kHidden), hashep::matrix_view(x, kHidden));

    const float* row = x.data();
    for (Sequence& sequence : sequences) {
      if (sequence.is_done()) continue;
      sequence.ids.push_back(sample(row));
      row += kHidden;
    }
  }
  return sequences;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);

  // Rank 0 has none where there are others to take them.
  const int64_t parts = std::max(1, size - 1);
  const int64_t part = size == 1 ? 0 : rank - 1;
  const int64_t begin = std::max<int64_t>(0, kSequences * part / parts);
  const int64_t end = std::max<int64_t>(0, kSequences * (part + 1) / parts);
  const std::vector<Sequence> together = decode(MPI_COMM_WORLD, begin, end);

  // Each rank alone decodes all sequences: the same ids.
  const std::vector<Sequence> alone = decode(MPI_COMM_SELF, 0, kSequences);
  bool good = true;
  int64_t decoded = 0;
  for (const Sequence& sequence : together) {
    good = good && sequence.ids == alone[sequence.number].ids;
    decoded += sequence.length() - 1;
  }
  std::printf("rank %d of %d: %lld tokens decoded, %s\n", rank, size,
              static_cast<long long>(decoded), good ? "the same as on one rank" : "WRONG");
  MPI_Finalize();
  return good ? 0 : 1;
}
