// SPDX-License-Identifier: Apache-2.0
// What a program can do wrong, and where ranks part ways: each is thrown, on all ranks where one
// alone has met it, and none of it ends the process.
#include <chrono>
#include <hashep/hashep.hpp>
#include <limits>
#include <vector>

#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

const StackShape kShape{.num_layers = 2, .hidden_size = 8, .ffn_size = 8, .num_experts = 6};
const HashRouter kRouter({.vocab_size = 50, .seed = 1});

std::unique_ptr<WeightSource> good_weights() {
  return make_synthetic_weights(kShape, DType::f32, 1);
}

Stack make(const Context& context, StackOptions options = {}) {
  return Stack(context, kShape, kRouter, *good_weights(), std::move(options));
}

std::vector<float> run(Stack& stack, const std::vector<int32_t>& ids) {
  std::vector<float> x(ids.size() * 8, 0.5f);
  const Batch batch = stack.submit({.ids = ids, .seq_len = 4});
  stack.forward(batch, matrix_view(x, 8), matrix_view(x, 8));
  return x;
}

/// Experts that are out of range on one layer.
class WrongRouter final : public Router {
 public:
  void route(const TokenBatch& batch, const RoutedLayer& layer,
             std::span<int32_t> experts) const override {
    for (size_t i = 0; i < batch.ids.size(); ++i) {
      experts[i] = layer.layer == 1 ? static_cast<int32_t>(layer.num_experts) : 0;
    }
  }
  uint64_t digest() const override { return 1; }
};

/// Counts what a Context tells it.
class Counts final : public FailurePolicy {
 public:
  void at(const Position&) noexcept override { ++places; }
  void gives_up(const std::string&, double, int) noexcept override { ++given_up; }

  int places = 0;
  int given_up = 0;
};

}  // namespace

TEST_CASE("bad ids on one rank are told to all, and the Stack goes on") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  Stack stack = make(context);
  const std::vector<int32_t> good{1, 2, 3};
  const std::vector<float> before = run(stack, good);
  const int culprit = context.size() - 1;
  for (int time = 0; time < 3; ++time) {
    const Batch ahead = stack.submit({.ids = good, .seq_len = 4});
    std::vector<int32_t> ids = good;
    if (context.rank() == culprit) ids[1] = 50;
    std::string text;
    bool prints = false;
    try {
      run(stack, ids);
    } catch (const InputError& error) {
      text = error.what();
      prints = is_reporter(error);
    }
    CHECK(prints == (context.rank() == culprit));
    CHECK_THAT(text, ContainsSubstring(
                         context.rank() == culprit ? "50" : "rank " + std::to_string(culprit)));
    std::vector<float> x(good.size() * 8, 0.5f);
    stack.forward(ahead, matrix_view(x, 8), matrix_view(x, 8));
    CHECK(x == before);
  }
  CHECK(run(stack, good) == before);
}

TEST_CASE("views of another shape are refused before anything moves") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  Stack stack = make(context);
  const std::vector<int32_t> ids{1, 2, 3};
  const Batch batch = stack.submit({.ids = ids, .seq_len = 4});
  std::vector<float> x(24), narrow(12);
  std::vector<BFloat16> half(24);
  const MatrixView good = matrix_view(x, 8);
  const auto refuse = [&](const Batch& of, ConstMatrixView in, MatrixView out, const char* text) {
    CHECK_THROWS_WITH(stack.forward(of, in, out), ContainsSubstring(text));
    CHECK_THROWS_AS(stack.forward(of, in, out), InputError);
  };
  refuse(batch, matrix_view(narrow, 4), good, "x is [3, 4] in fp32, the batch needs [3, 8]");
  refuse(batch, good, matrix_view(narrow, 4), "y is [3, 4]");
  refuse(batch, good.slice(0, 2), good, "x is [2, 8]");
  refuse(batch, matrix_view(half, 8), good, "x is [3, 8] in bf16");
  refuse(batch, {nullptr, DType::f32, 3, 8}, good, "null");
  CHECK(is_reporter(InputError("met alone")));
  refuse(Batch(), good, good, "never submitted");
  Stack other = make(context);
  CHECK_THROWS_WITH(other.forward(batch, good, good), ContainsSubstring("another Stack"));
  CHECK_THROWS_AS(stack.plan(batch, 2), InputError);
  CHECK_THROWS_AS(stack.plan(batch, -1), InputError);
  stack.forward(batch, good, good);
}

TEST_CASE("shapes, options, routers and weights that are not valid make no Stack") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  const auto weights = good_weights();
  const auto refuse = [&](const StackShape& shape, StackOptions options, const char* text) {
    CHECK_THROWS_WITH(Stack(context, shape, kRouter, *weights, std::move(options)),
                      ContainsSubstring(text));
  };
  StackShape shape = kShape;
  shape.top_k = 7;
  refuse(shape, {}, "stack: top_k: 7 is not in [1, 6]");
  shape = kShape;
  shape.num_layers = 0;
  refuse(shape, {}, "stack: num_layers");
  shape = kShape;
  shape.ffn_size = 9;
  refuse(shape, {}, "expected [9, 8]");
  shape = kShape;
  shape.num_shared_experts = 1;
  shape.score = Score::sqrtsoftplus;
  CHECK_THROWS_WITH(Stack(context, shape, kRouter,
                          ArrayWeights({.routed_expert =
                                            [&](int64_t layer, int64_t expert) {
                                              static LoadedFfn loaded;
                                              loaded = weights->routed_expert(layer, expert);
                                              return loaded.weights;
                                            }})),
                    ContainsSubstring("shared experts") || ContainsSubstring("rank 0 failed"));
  refuse(kShape, {.dtype = DType::f16}, "dtype: fp16");
  refuse(kShape, {.planning_depth = 0}, "planning_depth: 0");
  refuse(kShape, {.expected_tokens = -1}, "expected_tokens");
  refuse(kShape, {.placements = {contiguous_placement(5, context.size())}}, "placements");
  refuse(kShape, {.placements = std::vector(3, contiguous_placement(6, context.size()))},
         "3 were given for 2 layers");
  CHECK_THROWS_WITH(Stack(context, kShape, std::shared_ptr<const Router>(), *weights),
                    ContainsSubstring("without a router"));
  CHECK_THROWS_AS(
      Stack(context, kShape,
            TableRouter({{.vocab_size = 2, .top_k = 2, .experts = {0, 1, 2, 3}}}, 6), *weights),
      InputError);
  // After all of that the Context is as good as new.
  Stack stack = make(context);
  run(stack, {1, 2});
}

TEST_CASE("what a router promises is looked at") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  Stack stack(context, kShape, WrongRouter(), *good_weights());
  CHECK_THROWS_AS(run(stack, {1, 2}), InputError);
}

TEST_CASE("weights that are not finite on one rank are told to all") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  const auto source = good_weights();
  LoadedFfn loaded;
  const ArrayWeights weights({.routed_expert = [&](int64_t layer, int64_t expert) {
    loaded = source->routed_expert(layer, expert);
    if (layer == 1 && expert == 5) {
      reinterpret_cast<float*>(loaded.owned.front().data())[2] =
          std::numeric_limits<float>::quiet_NaN();
    }
    return loaded.weights;
  }});
  const int owner = context.size() - 1;
  CHECK_THROWS_WITH(
      Stack(context, kShape, kRouter, weights),
      ContainsSubstring(context.rank() == owner ? "layer 1, expert 5 w1: nan at [0, 2]"
                                                : "rank " + std::to_string(owner) + " failed"));
  Stack unchecked(context, kShape, kRouter, weights, {.check_finite = false});
}

TEST_CASE("ranks that disagree say so before a token moves") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  if (context.size() == 1) return;
  const bool differs = context.rank() == context.size() - 1;
  const auto weights = good_weights();
  const auto refuse = [&](const StackShape& shape, uint64_t seed, StackOptions options,
                          const WeightSource& source) {
    CHECK_THROWS_AS(Stack(context, shape, HashRouter({.vocab_size = 50, .seed = seed}), source,
                          std::move(options)),
                    InputError);
  };
  StackShape shape = kShape;
  if (differs) shape.swiglu_limit = 1.0f;
  refuse(shape, 1, {}, *weights);
  refuse(kShape, differs ? 2 : 1, {}, *weights);
  refuse(kShape, 1, {.residual = differs}, *weights);
  refuse(kShape, 1, {}, *make_synthetic_weights(kShape, DType::f32, differs ? 2 : 1));
  CHECK_THROWS_WITH(
      Context(MPI_COMM_WORLD, {.deadline = std::chrono::seconds(differs ? 50 : 60), .threads = 1}),
      ContainsSubstring(differs ? "deadline" : "failed"));
}

TEST_CASE("options of a Context that are not valid") {
  CHECK_THROWS_WITH(Context(MPI_COMM_NULL), ContainsSubstring("MPI_COMM_NULL"));
  CHECK_THROWS_WITH(Context(MPI_COMM_WORLD, {.deadline = std::chrono::seconds(-1)}),
                    ContainsSubstring("deadline"));
  CHECK_THROWS_WITH(Context(MPI_COMM_WORLD, {.threads = -1}), ContainsSubstring("threads"));
  CHECK_THROWS_WITH(Context(MPI_COMM_WORLD, {.device = Device::cuda}),
                    ContainsSubstring("device cuda"));
  CHECK_THROWS_AS(Context(MPI_COMM_WORLD, {.transport = TransportKind::nccl}), InputError);
}

TEST_CASE("a rank that does not come is missed at the deadline, and nothing hangs after it") {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size == 1) return;
  const auto begin = std::chrono::steady_clock::now();
  {
    const auto policy = std::make_shared<Counts>();
    const Context context(
        MPI_COMM_WORLD,
        {.deadline = std::chrono::seconds(2), .threads = 1, .failure_policy = policy});
    Stack stack = make(context);
    const std::vector<int32_t> ids{1, 2, 3};
    std::vector<float> x(24, 0.5f);
    const Batch batch = stack.submit({.ids = ids, .seq_len = 4});
    if (context.rank() == 0) {
      CHECK_THROWS_AS(stack.forward(batch, matrix_view(x, 4), matrix_view(x, 4)), InputError);
    } else {
      CHECK_THROWS_AS(stack.forward(batch, matrix_view(x, 8), matrix_view(x, 8)), RunError);
      CHECK_THROWS_WITH(stack.forward(batch, matrix_view(x, 8), matrix_view(x, 8)),
                        ContainsSubstring("an earlier call failed"));
    }
    CHECK(policy->places > 0);
    CHECK(policy->given_up == (context.rank() == 0 ? 0 : 1));
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
  CHECK(spent.count() < 20.0);
  MPI_Barrier(MPI_COMM_WORLD);
  const Context again(MPI_COMM_WORLD, {.threads = 1});
  Stack stack = make(again);
  run(stack, {1, 2, 3});
}

TEST_CASE("a rank that leaves is named to who waits for it, long before the deadline") {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size == 1) return;
  const auto begin = std::chrono::steady_clock::now();
  const std::string reason = GENERATE(std::string("the data ran out"), std::string(2000, 'x'));
  {
    const Context context(MPI_COMM_WORLD, {.deadline = std::chrono::seconds(100), .threads = 1});
    Context also(MPI_COMM_WORLD, {.threads = 1});
    Stack stack = make(also);
    const int leaver = size - 1;
    if (context.rank() == leaver) {
      also.leave(reason);
      CHECK_THROWS_WITH(run(stack, {1, 2, 3}), ContainsSubstring("an earlier call failed"));
    } else {
      std::string text;
      try {
        run(stack, {1, 2, 3});
      } catch (const RunError& error) {
        text = error.what();
        CHECK_FALSE(is_reporter(error));
      }
      CHECK_THAT(text, ContainsSubstring("rank " + std::to_string(leaver) +
                                         " has left: " + reason.substr(0, 500)));
      CHECK(text.size() < 600);
    }
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
  CHECK(spent.count() < 30.0);
  MPI_Barrier(MPI_COMM_WORLD);
  const Context again(MPI_COMM_WORLD, {.threads = 1});
  Stack stack = make(again);
  run(stack, {1, 2, 3});
}

TEST_CASE("a Stack that ranks abandon at moments of their own keeps nobody waiting") {
  const auto begin = std::chrono::steady_clock::now();
  const Context context(MPI_COMM_WORLD, {.deadline = std::chrono::seconds(100), .threads = 1});
  Stack other = make(context);
  const std::vector<float> before = run(other, {1, 2, 3});
  {
    Stack stack = make(context);
    run(stack, {1, 2, 3});
    const std::vector<int32_t> ids{4, 5};
    Batch planned = stack.submit({.ids = ids, .seq_len = 2});  // its exchange is under way
    if (context.rank() == 0) stack.abandon();
    CHECK(run(other, {1, 2, 3}) == before);
    if (context.rank() != 0) stack.abandon();
    CHECK_NOTHROW(planned = Batch());
  }
  CHECK(run(other, {1, 2, 3}) == before);
  Stack again = make(context);
  CHECK(run(again, {1, 2, 3}) == before);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
  CHECK(spent.count() < 30.0);
}
