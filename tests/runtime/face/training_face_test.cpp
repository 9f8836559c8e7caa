// SPDX-License-Identifier: Apache-2.0
// Training as a program does it: the same parameters, bit by bit, on all ranks together as on one.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <hashep/hashep.hpp>
#include <limits>
#include <string>
#include <vector>

#include "tests/runtime/face/trained_stack.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

using test::kBlock;
using test::kTokens;
using test::kVocabulary;
using test::name_of;
using test::Parameters;
using test::Part;
using test::rows;
using test::values_of;
using test::view;

const StackShape kShape{.num_layers = 2,
                        .hidden_size = test::kHiddenSize,
                        .ffn_size = 40,
                        .num_experts = 10,
                        .top_k = 3,
                        .num_shared_experts = 1,
                        .score = Score::sqrtsoftplus,
                        .routed_scaling_factor = 1.5f};
const HashRouter kRouter({.vocab_size = kVocabulary, .seed = 4});

StackOptions trained(DType dtype = DType::f32) {
  return {.dtype = dtype, .training = TrainingOptions{.gradient_block = kBlock}};
}

/// Stacks of all kinds of layers, by name.
struct Kind {
  const char* name = "";
  StackShape shape;
  TrainingOptions options{.gradient_block = kBlock};
};

std::vector<Kind> kinds() {
  StackShape softmax = kShape;
  softmax.score = Score::none;
  softmax.routed_scaling_factor = 1.0f;
  softmax.gate = Gate{.kind = GateKind::softmax_top_k};
  StackShape one = softmax;
  one.top_k = 1;
  one.num_shared_experts = 0;
  StackShape sigmoid = kShape;
  sigmoid.score = Score::sigmoid;
  sigmoid.gate = Gate{.kind = GateKind::noaux_tc};
  StackShape mixed = kShape;
  mixed.num_layers = 3;
  mixed.gate = Gate{.kind = GateKind::noaux_tc, .first_layer = 1};
  StackShape dense = kShape;
  dense.score = Score::none;
  dense.num_experts = 0;
  dense.top_k = 0;
  dense.num_shared_experts = 3;
  return {
      {"static", kShape},
      {"softmax", softmax, {.gradient_block = kBlock, .balance_loss = 0.3f, .z_loss = 0.1f}},
      {"softmax of one, recomputed",
       one,
       {.recompute = true, .gradient_block = kBlock, .balance_loss = 0.2f}},
      {"sigmoid", sigmoid, {.gradient_block = kBlock, .balance_loss = 0.3f, .bias_step = 0.01f}},
      {"mixed", mixed, {.gradient_block = kBlock, .z_loss = 0.01f, .bias_step = 0.02f}},
      {"dense", dense}};
}

}  // namespace

TEST_CASE("training gives the same parameters on all ranks together as on one, bit by bit") {
  const auto dtype = GENERATE(DType::f32, DType::bf16);
  const Kind kind = GENERATE(from_range(kinds()));
  INFO(kind.name << " " << dtype_name(dtype));
  const test::Training training{.shape = kind.shape,
                                .dtype = dtype,
                                .options = kind.options,
                                .adamw = {.weight_decay = 0.1f, .clip_norm = 3.0f}};
  const Context alone(MPI_COMM_SELF, {.transport = TransportKind::mpi, .threads = 1});
  const test::Trained want = test::train(alone, training);
  CHECK(want.norms.front() > 3.0);
  for (const auto transport : {TransportKind::automatic, TransportKind::mpi, TransportKind::hier}) {
    const Context context(MPI_COMM_WORLD, {.transport = transport, .threads = 1});
    const test::Trained got = test::train(context, training);
    CHECK(got.norms == want.norms);
    CHECK(!got.parameters.empty());
    for (const auto& [name, values] : got.parameters) {
      INFO(name);
      CHECK((values == want.parameters.at(name)));
    }
    CHECK(got.losses.size() == want.losses.size());
    for (size_t i = 0; i < want.losses.size(); ++i) {
      CHECK(got.losses[i].balance == want.losses[i].balance);
      CHECK(got.losses[i].z == want.losses[i].z);
    }
    const Part part(context.rank(), context.size());
    const int64_t row_bytes = test::kHiddenSize * dtype_size(dtype);
    CHECK(std::equal(got.dx.begin(), got.dx.end(), want.dx.begin() + part.begin * row_bytes));
    CHECK(std::equal(got.y.begin(), got.y.end(), want.y.begin() + part.begin * row_bytes));
  }
}

TEST_CASE("AdamW does what the paper says, to what it did not update last") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  Stack stack(context, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2), trained());
  std::vector<float> own(12, 1.0f);
  std::vector<float> own_gradient(12);
  const AdamWOptions options{
      .beta1 = 0.8f, .beta2 = 0.95f, .epsilon = 1e-6f, .weight_decay = 0.2f, .clip_norm = 0.5f};
  AdamW optimizer(stack, options,
                  {{"own", 0, -1, matrix_view(own, 4), matrix_view(own_gradient, 4)}});
  std::vector<double> p(12, 1.0), m(12), v(12);
  for (int step = 1; step <= 5; ++step) {
    double squares = 0.0;
    for (size_t i = 0; i < own.size(); ++i) {
      own_gradient[i] = std::sin(static_cast<float>(i) + 0.3f * static_cast<float>(step));
      squares += static_cast<double>(own_gradient[i]) * static_cast<double>(own_gradient[i]);
    }
    const std::vector<float> given = own_gradient;
    const double rate = 0.01 * step;
    // The stack's own gradients are zero.
    CHECK(std::abs(optimizer.step(static_cast<float>(rate)) - std::sqrt(squares)) < 1e-6);
    const double scale = std::min(1.0, 0.5 / std::sqrt(squares));
    for (size_t i = 0; i < own.size(); ++i) {
      const double g = scale * static_cast<double>(given[i]);
      m[i] = 0.8 * m[i] + 0.2 * g;
      v[i] = 0.95 * v[i] + 0.05 * g * g;
      const double m_hat = m[i] / (1.0 - std::pow(0.8, step));
      const double v_hat = v[i] / (1.0 - std::pow(0.95, step));
      p[i] = p[i] - rate * 0.2 * p[i] - rate * m_hat / (std::sqrt(v_hat) + 1e-6);
      CHECK(std::abs(static_cast<double>(own[i]) - p[i]) < 2e-6);
      CHECK(own_gradient[i] == 0.0f);
    }
  }
  const std::vector<ParameterState> states = optimizer.states();
  CHECK(states.back().parameter.name == "own");
  CHECK(std::abs(static_cast<double>(values_of(states.back().first_moment)[3]) - m[3]) < 1e-6);
}

TEST_CASE("gradients that are no numbers update nothing") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  Stack stack(context, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2), trained());
  AdamW optimizer(stack);
  const Part part(context.rank(), context.size());
  const Batch batch = stack.submit(part.tokens());
  Tape tape;
  std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, 1);
  std::vector<std::byte> dy = rows(DType::f32, part.begin, part.end, 2);
  stack.forward(batch, view(x, DType::f32), view(x, DType::f32), tape);
  if (!dy.empty()) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(dy.data(), &nan, sizeof(nan));
  }
  stack.backward(batch, tape, view(dy, DType::f32), view(dy, DType::f32));
  const std::vector<Parameter> parameters = stack.parameters();
  std::vector<std::vector<float>> before;
  for (const Parameter& parameter : parameters) before.push_back(values_of(parameter.value));
  CHECK(!std::isfinite(optimizer.step(0.1f)));
  CHECK(optimizer.steps() == 0);
  for (size_t i = 0; i < parameters.size(); ++i) {
    CHECK((values_of(parameters[i].value) == before[i]));
    CHECK(std::ranges::all_of(values_of(parameters[i].gradient),
                              [](float value) { return value == 0.0f; }));
  }
}

TEST_CASE("a caller's own change of parameters holds once they are packed") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  Stack stack(context, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2), trained());
  Stack other(context, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 3), trained());
  const Part part(context.rank(), context.size());
  const auto forward = [&](Stack& which) {
    std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, 1);
    which.forward(which.submit(part.tokens()), view(x, DType::f32), view(x, DType::f32));
    return x;
  };
  const std::vector<std::byte> before = forward(stack);
  const std::vector<Parameter> to = stack.parameters();
  const std::vector<Parameter> from = other.parameters();
  REQUIRE(to.size() == from.size());
  for (size_t i = 0; i < to.size(); ++i) {
    std::copy_n(from[i].value.data, from[i].value.bytes(), to[i].value.data);
  }
  stack.pack_parameters();
  const std::vector<std::byte> after = forward(stack);
  CHECK((after == forward(other)));
  CHECK((part.begin == part.end || after != before));
}

TEST_CASE("tapes of several batches are used in any order, each once") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  Stack stack(context, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2), trained());
  const Part part(context.rank(), context.size());
  const auto run = [&](bool interleaved) {
    stack.clear_gradients();
    const Batch first = stack.submit(part.tokens());
    const Batch second = stack.submit(part.tokens());
    Tape tapes[2];
    const auto forward = [&](const Batch& batch, Tape& tape, int64_t seed) {
      std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, seed);
      stack.forward(batch, view(x, DType::f32), view(x, DType::f32), tape);
    };
    const auto backward = [&](const Batch& batch, Tape& tape, int64_t seed) {
      std::vector<std::byte> dy = rows(DType::f32, part.begin, part.end, seed);
      stack.backward(batch, tape, view(dy, DType::f32), view(dy, DType::f32));
    };
    forward(first, tapes[0], 1);
    if (interleaved) forward(second, tapes[1], 2);
    backward(first, tapes[0], 3);
    if (!interleaved) forward(second, tapes[1], 2);
    backward(second, tapes[1], 4);
    stack.sum_gradients();
    Parameters gradients;
    for (const Parameter& parameter : stack.parameters()) {
      gradients[name_of(parameter)] = values_of(parameter.gradient);
    }
    return gradients;
  };
  CHECK((run(true) == run(false)));
}

TEST_CASE("a tape may go from one Stack to another that keeps other things of more tokens") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  StackShape other_shape = kShape;
  other_shape.num_shared_experts = 0;
  other_shape.score = Score::none;
  other_shape.ffn_size = 400;
  StackOptions other_options = trained();
  other_options.training->recompute = true;
  Stack first(context, kShape, kRouter, *make_synthetic_weights(kShape, DType::f32, 2), trained());
  Stack second(context, other_shape, kRouter, *make_synthetic_weights(other_shape, DType::f32, 2),
               other_options);
  const std::vector<int32_t> few(kBlock, 3);
  const Part part(context.rank(), context.size());
  Tape used;
  std::vector<std::byte> rows_of_few = rows(DType::f32, 0, kBlock, 1);
  const MatrixView of_few = view(rows_of_few, DType::f32);
  first.forward(first.submit({.ids = few, .seq_len = kBlock}), of_few, of_few, used);
  const auto gradients = [&](Tape& tape) {
    second.clear_gradients();
    const Batch batch = second.submit(part.tokens());
    std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, 1);
    second.forward(batch, view(x, DType::f32), view(x, DType::f32), tape);
    second.backward(batch, tape, view(x, DType::f32), view(x, DType::f32));
    std::vector<std::vector<float>> found;
    for (const Parameter& parameter : second.parameters()) {
      found.push_back(values_of(parameter.gradient));
    }
    return found;
  };
  const auto with_used = gradients(used);
  Tape fresh;
  CHECK((with_used == gradients(fresh)));
}

TEST_CASE("what a stack cannot train is refused in a line, and it goes on") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  const auto weights = make_synthetic_weights(kShape, DType::f32, 2);
  Stack frozen(context, kShape, kRouter, *weights);
  const Part part(context.rank(), context.size());
  Tape tape;
  std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, 1);
  const auto matrix = view(x, DType::f32);
  const Batch batch = frozen.submit(part.tokens());
  CHECK_THROWS_AS(frozen.forward(batch, matrix, matrix, tape), InputError);
  CHECK_THROWS_AS(frozen.parameters(), InputError);
  CHECK_THROWS_AS(AdamW(frozen), InputError);

  Stack stack(context, kShape, kRouter, *weights, trained());
  const Batch own = stack.submit(part.tokens());
  CHECK_THROWS_AS(stack.backward(own, tape, matrix, matrix), InputError);  // no forward
  stack.forward(own, matrix, matrix, tape);
  stack.backward(own, tape, matrix, matrix);
  CHECK_THROWS_AS(stack.backward(own, tape, matrix, matrix), InputError);  // used up
  {
    // A tape of another Stack, of the batch with the same number.
    Stack other(context, kShape, kRouter, *weights, trained());
    const Batch of_other = other.submit(part.tokens());
    Tape foreign;
    other.forward(of_other, matrix, matrix, foreign);
    CHECK_THROWS_AS(stack.backward(own, foreign, matrix, matrix), InputError);
  }
  for (const AdamWOptions& wrong :
       {AdamWOptions{.beta1 = 1.0f}, AdamWOptions{.beta2 = -0.1f}, AdamWOptions{.epsilon = 0.0f},
        AdamWOptions{.weight_decay = -1.0f},
        AdamWOptions{.clip_norm = std::numeric_limits<float>::infinity()}}) {
    CHECK_THROWS_AS(AdamW(stack, wrong), InputError);
  }
  AdamW optimizer(stack);
  CHECK_THROWS_AS(optimizer.step(-1.0f), InputError);
  CHECK_THROWS_AS(
      Stack(context, kShape, kRouter, *weights, {.training = TrainingOptions{.gradient_block = 0}}),
      InputError);

  // Parts that begin inside of a block: where there are more ranks than one.
  const std::vector<int32_t> ids(static_cast<size_t>(3 + context.rank()), 1);
  std::vector<std::byte> some = rows(DType::f32, 0, std::ssize(ids), 1);
  const Batch odd = stack.submit({.ids = ids, .seq_len = 4});
  const MatrixView few = view(some, DType::f32);
  if (context.size() > 1) {
    CHECK_THROWS_AS(stack.forward(odd, few, few, tape), InputError);
  } else {
    stack.forward(odd, few, few, tape);
  }
  stack.forward(odd, few, few);  // nothing is kept, so nothing is summed
  stack.forward(own, matrix, matrix, tape);
}
