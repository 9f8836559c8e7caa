// SPDX-License-Identifier: Apache-2.0
// Context and Stack as a program uses them.
#include <algorithm>
#include <hashep/hashep.hpp>
#include <optional>
#include <vector>

#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

constexpr int64_t kVocabulary = 300;
const StackShape kShape{.num_layers = 2,
                        .hidden_size = 24,
                        .ffn_size = 40,
                        .num_experts = 10,
                        .top_k = 3,
                        .num_shared_experts = 1,
                        .score = Score::sqrtsoftplus,
                        .routed_scaling_factor = 1.5f};

/// Ids and hidden states of a global batch.
struct Case {
  std::vector<int32_t> ids;
  std::vector<float> x;

  explicit Case(int64_t tokens, int32_t seed = 0) {
    for (int64_t i = 0; i < tokens; ++i) {
      const auto id = static_cast<int32_t>((i * i * 31 + seed * 7 + i) % kVocabulary);
      ids.push_back(i % 9 == 4 ? kPaddingId : id);
    }
    for (int64_t i = 0; i < tokens * kShape.hidden_size; ++i) {
      x.push_back(static_cast<float>((i * 37 + seed * 11) % 101 - 50) / 40.0f);
    }
  }
};

constexpr int64_t kSeqLen = 17;

/// A rank's part [begin, end) of a case.
struct Part {
  const Case& all;
  int64_t begin;
  int64_t end;

  TokenBatch tokens() const {
    return {.ids = std::span(all.ids).subspan(begin, end - begin),
            .seq_len = kSeqLen,
            .first_position = begin,
            .previous_id = begin == 0 ? -1 : all.ids[begin - 1]};
  }
  std::vector<float> x() const {
    return {all.x.begin() + begin * kShape.hidden_size, all.x.begin() + end * kShape.hidden_size};
  }
};

/// Every second rank holds none.
Part part_of(const Case& all, const Context& context) {
  const int64_t size = context.size();
  const auto begin = [&](int64_t rank) {
    return std::ssize(all.ids) * std::min(size, rank) / size;
  };
  const int64_t rank = context.rank();
  return {all, begin(rank % 2 == 0 ? rank : rank + 1), begin(rank % 2 == 0 ? rank + 2 : rank + 1)};
}

const HashRouter kRouter({.vocab_size = kVocabulary, .seed = 4, .feature = HashFeature::bigram});

std::vector<float> forward(Stack& stack, const Part& part) {
  const std::vector<float> x = part.x();
  std::vector<float> y(x.size(), -1.0f);
  const Batch batch = stack.submit(part.tokens());
  stack.forward(batch, matrix_view(x, kShape.hidden_size), matrix_view(y, kShape.hidden_size));
  return y;
}

/// What one rank makes of it all, in the part of this one.
std::vector<float> expected(const Part& part, const StackOptions& options = {}) {
  const Context alone(MPI_COMM_SELF, {.transport = TransportKind::mpi, .threads = 1});
  Stack stack(alone, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2), options);
  const std::vector<float> all = forward(stack, {part.all, 0, std::ssize(part.all.ids)});
  return {all.begin() + part.begin * kShape.hidden_size,
          all.begin() + part.end * kShape.hidden_size};
}

}  // namespace

TEST_CASE("a Stack gives the same bits on all ranks together as on one, however tokens are dealt") {
  const Case all(83);
  for (const auto transport :
       {TransportKind::automatic, TransportKind::mpi, TransportKind::shm, TransportKind::hier}) {
    const bool one_node = Context(MPI_COMM_WORLD).nodes().num_nodes() == 1;
    if (transport == TransportKind::shm && !one_node) continue;
    const Context context(MPI_COMM_WORLD, {.transport = transport, .threads = 1});
    CHECK(context.nodes().ep_size() == context.size());
    CHECK(context.options().transport !=
          (one_node ? TransportKind::automatic : TransportKind::shm));
    Stack stack(context, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2));
    CHECK(stack.transport() == transport_name(context.options().transport));
    const Part part = part_of(all, context);
    const std::vector<float> y = forward(stack, part);
    CHECK(y == expected(part));
    CHECK((part.begin == part.end || y != part.x()));
    CHECK(stack.memory().weights > 0);
  }
}

TEST_CASE("several batches are under way, and run in any order and more than once") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  Stack stack(context, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2),
              {.expected_tokens = 60, .planning_depth = 2});
  std::vector<Case> cases;
  for (int32_t i = 0; i < 5; ++i) cases.emplace_back(40 + i, i);
  std::vector<Batch> batches;
  for (const Case& one : cases) batches.push_back(stack.submit(part_of(one, context).tokens()));
  const Batch copy = batches[2];
  for (const size_t i : {3, 0, 2, 4, 1, 2}) {
    const Part part = part_of(cases[i], context);
    std::vector<float> x = part.x();
    CHECK(batches[i].tokens() == part.end - part.begin);
    stack.forward(batches[i], matrix_view(x, kShape.hidden_size),
                  matrix_view(x, kShape.hidden_size));
    CHECK(x == expected(part));
    if (i != 2) batches[i] = Batch();
  }
  CHECK(stack.plan(copy, 1).tokens == copy.tokens());
  CHECK(stack.plan(copy, 1).ep_rank == context.rank());
}

TEST_CASE("ids that all ranks know are planned without an exchange, to the same bits") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  Stack stack(context, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2));
  const Case all(50);
  std::vector<TokenBatch> by_rank;
  for (int64_t rank = 0; rank < context.size(); ++rank) {
    by_rank.push_back(
        Part{all, 50 * rank / context.size(), 50 * (rank + 1) / context.size()}.tokens());
  }
  const Part part{all, int64_t{50} * context.rank() / context.size(),
                  int64_t{50} * (context.rank() + 1) / context.size()};
  const Batch batch = stack.submit_all(by_rank);
  std::vector<float> x = part.x();
  stack.forward(batch, matrix_view(x, kShape.hidden_size), matrix_view(x, kShape.hidden_size));
  CHECK(x == expected(part));
}

TEST_CASE("a rank needs its own experts alone, and any placement gives the same bits") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  std::vector<int32_t> owners;
  for (int32_t e = 0; e < kShape.num_experts; ++e) owners.push_back(e * 7 % context.size());
  const Placement placement(owners, context.size());
  const auto source = make_synthetic_weights(kShape, DType::f32, 2);
  int64_t asked = 0;
  LoadedFfn loaded;
  LoadedFfn shared;
  LoadedMatrix gate;
  const ArrayWeights weights({.routed_expert =
                                  [&](int64_t layer, int64_t expert) {
                                    CHECK(placement.rank_of(expert) == context.rank());
                                    ++asked;
                                    loaded = source->routed_expert(layer, expert);
                                    return loaded.weights;
                                  },
                              .shared_experts =
                                  [&](int64_t layer) {
                                    shared = source->shared_experts(layer);
                                    return shared.weights;
                                  },
                              .gate =
                                  [&](int64_t layer) {
                                    gate = source->gate(layer);
                                    return gate.view;
                                  }});
  Stack stack(context, kShape, kRouter, weights, {.placements = {placement}});
  CHECK(asked == kShape.num_layers * std::ssize(placement.local_experts(context.rank())));
  CHECK(stack.options().placements.size() == 2);
  gate.owned = Buffer();  // a Stack keeps nothing of its source
  const Case all(60);
  const Part part = part_of(all, context);
  CHECK(forward(stack, part) == expected(part));
}

TEST_CASE("arrays by layer and expert, layers without residual") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  const StackShape shape{.num_layers = 1,
                         .hidden_size = 4,
                         .ffn_size = 4,
                         .num_experts = 3,
                         .activation = Activation::relu};
  std::vector<float> identity(16);
  for (size_t i = 0; i < 4; ++i) identity[i * 5] = 1.0f;
  const FfnWeights same{.w1 = matrix_view(identity, 4), .w2 = matrix_view(identity, 4)};
  Stack stack(context, shape, HashRouter({.vocab_size = 9}),
              ArrayWeights({std::vector<FfnWeights>{same, same, same}}), {.residual = false});
  const std::vector<int32_t> ids{1, 8, 5};
  const std::vector<float> x{1, 2, 3, 4, -1, 2, -3, 4, 0, 0, 0, 7};
  std::vector<float> y(x.size());
  stack.forward(stack.submit({.ids = ids}), matrix_view(x, 4), matrix_view(y, 4));
  CHECK(y == std::vector<float>{1, 2, 3, 4, 0, 2, 0, 4, 0, 0, 0, 7});
}

TEST_CASE("Contexts and Stacks live side by side, and are moved") {
  std::optional<Stack> stack;
  const Case all(30);
  {
    Context first(MPI_COMM_WORLD, {.threads = 1});
    const Context second(std::move(first));
    stack.emplace(second, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2));
  }  // the Stack keeps what it needs
  const Context other(MPI_COMM_WORLD, {.threads = 1});
  Stack beside(other, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2));
  Stack moved = std::move(*stack);
  const Part part = part_of(all, other);
  CHECK(forward(moved, part) == expected(part));
  CHECK(forward(beside, part) == expected(part));
}

TEST_CASE("views of vectors and spans know their rows") {
  std::vector<float> values(12);
  const MatrixView view = matrix_view(values, 4);
  CHECK((view.rows == 3 && view.cols == 4 && view.dtype == DType::f32));
  const std::vector<BFloat16> halves(6);
  const ConstMatrixView half = matrix_view(std::span(halves), 3);
  CHECK((half.rows == 2 && half.dtype == DType::bf16));
  CHECK(matrix_view(values.data(), 2, 4).rows == 2);
  CHECK_THROWS_AS(matrix_view(values, 5), InputError);
  CHECK_THROWS_AS(matrix_view(values, 0), InputError);
}
