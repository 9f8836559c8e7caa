// SPDX-License-Identifier: Apache-2.0
// Layers with a learned gate, one by one or together, through the face.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/runtime/face/trained_stack.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

using test::Part;
using test::rows;
using test::values_of;
using test::view;

StackShape gated(GateKind kind, int top_k) {
  StackShape shape{.num_layers = 1,
                   .hidden_size = test::kHiddenSize,
                   .ffn_size = 16,
                   .num_experts = 6,
                   .top_k = top_k,
                   .activation = Activation::gelu,
                   .gate = Gate{.kind = kind}};
  if (kind == GateKind::noaux_tc) {
    shape.score = Score::sigmoid;
    shape.routed_scaling_factor = 1.7f;
  }
  return shape;
}

/// sum of dy * y and the losses, of one layer.
class LayerLoss {
 public:
  LayerLoss(Stack& stack, const Part& part, const TrainingOptions& options)
      : stack_(stack), options_(options), batch_(stack.submit(part.tokens())) {
    dy_ = rows(DType::f32, part.begin, part.end, 7);
  }

  double operator()(std::vector<std::byte> x) {
    std::vector<std::byte> y(x.size());
    stack_.forward_layer(batch_, 0, view(x, DType::f32), view(y, DType::f32), tape_);
    experts_ = stack_.plan(batch_, 0).experts;
    const GateLosses losses = stack_.gate_losses(batch_, tape_);
    double sum = static_cast<double>(options_.balance_loss) * losses.balance +
                 static_cast<double>(options_.z_loss) * losses.z;
    const std::vector<float> a = values_of(view(y, DType::f32));
    const std::vector<float> b = values_of(view(dy_, DType::f32));
    for (size_t i = 0; i < a.size(); ++i)
      sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  }
  std::vector<std::byte> gradient() {
    std::vector<std::byte> dx(dy_.size());
    stack_.backward_layer(batch_, 0, tape_, view(dy_, DType::f32), view(dx, DType::f32));
    return dx;
  }
  const std::vector<int32_t>& experts() const { return experts_; }

 private:
  Stack& stack_;
  TrainingOptions options_;
  Batch batch_;
  Tape tape_;
  std::vector<std::byte> dy_;
  std::vector<int32_t> experts_;
};

}  // namespace

TEST_CASE("gradients of a layer with a gate are slopes of its output and losses") {
  const auto kind = GENERATE(GateKind::softmax_top_k, GateKind::noaux_tc);
  const auto top_k = GENERATE(1, 2);
  INFO(static_cast<int>(kind) << ", top " << top_k);
  const Context context(MPI_COMM_SELF, {.threads = 1});
  test::Training training{.shape = gated(kind, top_k)};
  training.options.balance_loss = 20.0f;
  training.options.z_loss = 5.0f;
  Stack stack = test::make_stack(context, training);
  const Part part(0, 4);
  LayerLoss loss(stack, part, training.options);
  std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, 1);
  loss(x);
  const std::vector<int32_t> experts = loss.experts();
  stack.clear_gradients();
  std::vector<std::byte> dx = loss.gradient();
  stack.sum_gradients();

  const auto slope = [&](float* values, const std::vector<float>& direction, double step) {
    const std::vector<float> at(values, values + direction.size());
    double ends[2];
    for (int side = 0; side < 2; ++side) {
      for (size_t i = 0; i < at.size(); ++i) {
        values[i] = at[i] + static_cast<float>((side == 0 ? -step : step)) * direction[i];
      }
      stack.pack_parameters();
      ends[side] = loss(x);
      CHECK(loss.experts() == experts);  // else there is no slope
    }
    std::copy(at.begin(), at.end(), values);
    stack.pack_parameters();
    return (ends[1] - ends[0]) / (2.0 * step);
  };
  const auto check = [&](float* values, const std::vector<float>& gradient, double step) {
    double along = 0.0;
    for (const float g : gradient) along += static_cast<double>(g) * static_cast<double>(g);
    std::vector<float> direction = gradient;
    for (float& d : direction) d /= static_cast<float>(std::sqrt(along));
    const double found = slope(values, direction, step);
    INFO(found << " along the gradient, whose norm is " << std::sqrt(along));
    CHECK(std::abs(found / std::sqrt(along) - 1.0) < 0.01);
  };
  check(reinterpret_cast<float*>(x.data()), values_of(view(dx, DType::f32)), 1e-3);
  for (const Parameter& parameter : stack.parameters()) {
    if (parameter.name != "gate") continue;
    check(parameter.value.row_as<float>(0), values_of(parameter.gradient), 1e-3);
  }
}

TEST_CASE("layers one by one are the layers together") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  StackShape shape = gated(GateKind::noaux_tc, 2);
  shape.num_layers = 3;
  shape.score = Score::sqrtsoftplus;
  shape.gate->first_layer = 1;
  const auto weights = make_synthetic_weights(shape, DType::f32, 2);
  const StackOptions options{.residual = false,
                             .training = TrainingOptions{.gradient_block = test::kBlock}};
  Stack stack(context, shape, test::router_for(shape), *weights, options);
  const Part part(context.rank(), context.size());
  const Batch batch = stack.submit(part.tokens());
  Tape tape;
  const auto run = [&](bool by_layer) {
    stack.clear_gradients();
    std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, 1);
    std::vector<std::byte> dy = rows(DType::f32, part.begin, part.end, 2);
    const MatrixView state = view(x, DType::f32);
    const MatrixView gradient = view(dy, DType::f32);
    if (by_layer) {
      for (int64_t l = 0; l < 3; ++l) stack.forward_layer(batch, l, state, state, tape);
      for (int64_t l = 3; l-- > 0;) stack.backward_layer(batch, l, tape, gradient, gradient);
    } else {
      stack.forward(batch, state, state, tape);
      stack.backward(batch, tape, gradient, gradient);
    }
    stack.sum_gradients();
    test::Parameters found{{"y", values_of(state)}, {"dx", values_of(gradient)}};
    for (const Parameter& parameter : stack.parameters()) {
      found[test::name_of(parameter)] = values_of(parameter.gradient);
    }
    return found;
  };
  const auto together = run(false);
  CHECK((run(true) == together));
  std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, 1);
  for (int64_t l = 0; l < 3; ++l) {
    stack.forward_layer(batch, l, view(x, DType::f32), view(x, DType::f32));
  }
  CHECK((values_of(view(x, DType::f32)) == together.at("y")));
}

TEST_CASE("what a gate's plan is not there for is refused, and the stack goes on") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  const test::Training training{.shape = gated(GateKind::softmax_top_k, 2)};
  Stack stack = test::make_stack(context, training);
  const Part part(context.rank(), context.size());
  const Batch batch = stack.submit(part.tokens());
  CHECK_THROWS_WITH(stack.plan(batch, 0), ContainsSubstring("once forward has run"));
  CHECK_THROWS_WITH(stack.tape_bytes(batch), ContainsSubstring("once forward has run"));
  std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, 1);
  std::vector<std::byte> y(x.size());
  const MatrixView to = view(y, DType::f32);
  Tape first;
  Tape second;
  CHECK_THROWS_WITH(stack.gate_losses(batch, first), ContainsSubstring("was not filled"));
  stack.forward(batch, view(x, DType::f32), to, first);
  CHECK(stack.plan(batch, 0).num_experts == 6);
  stack.forward(batch, view(x, DType::f32), to, second);
  // The plan is that of the second forward.
  CHECK_THROWS_WITH(stack.backward(batch, first, to, to), ContainsSubstring("was not filled"));
  stack.backward(batch, second, to, to);
  CHECK_THROWS_WITH(stack.forward_layer(batch, 1, view(x, DType::f32), to),
                    ContainsSubstring("not in [0, 1)"));

  const auto weights = make_synthetic_weights(training.shape, DType::f32, 2);
  const auto make = [&](const StackShape& shape, std::shared_ptr<const Router> router,
                        const TrainingOptions& options) {
    Stack(context, shape, std::move(router), *weights, {.training = options});
  };
  StackShape wrong = training.shape;
  const auto hash = std::make_shared<HashRouter>(HashRouterConfig{.vocab_size = 10});
  CHECK_THROWS_WITH(make(wrong, hash, {}), ContainsSubstring("no layer to be routed ahead"));
  CHECK_THROWS_WITH(make(wrong, nullptr, {.bias_step = 0.1f}), ContainsSubstring("bias_step"));
  CHECK_THROWS_WITH(make(wrong, nullptr, {.balance_loss = -1.0f}),
                    ContainsSubstring("balance_loss"));
  wrong.score = Score::sigmoid;
  CHECK_THROWS_WITH(make(wrong, nullptr, {}), ContainsSubstring("softmax_top_k"));
  wrong.gate->kind = GateKind::noaux_tc;
  wrong.score = Score::none;
  CHECK_THROWS_WITH(make(wrong, nullptr, {}), ContainsSubstring("noaux_tc needs a score"));
  wrong.gate.reset();
  wrong.score = Score::sigmoid;
  CHECK_THROWS_WITH(make(wrong, hash, {}), ContainsSubstring("noaux_tc alone"));
  wrong.score = Score::none;
  CHECK_THROWS_WITH(make(wrong, nullptr, {}), ContainsSubstring("without a router"));
  wrong.num_experts = 0;
  wrong.top_k = 0;
  CHECK_THROWS_WITH(make(wrong, nullptr, {}), ContainsSubstring("no shared experts either"));
  // And ids that are none.
  const std::vector<int32_t> ids = {1, -2};
  CHECK_THROWS_WITH(stack.plan(stack.submit({.ids = ids, .seq_len = 2}), 0),
                    ContainsSubstring("below -1"));
}

TEST_CASE("biases move towards even loads") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  test::Training training{.shape = gated(GateKind::noaux_tc, 1)};
  training.options.bias_step = 0.5f;
  Stack stack = test::make_stack(context, training);
  AdamW optimizer(stack);
  const Part part(context.rank(), context.size());
  const Batch batch = stack.submit(part.tokens());
  std::vector<std::byte> x = rows(DType::f32, part.begin, part.end, 1);
  Tape tape;
  std::vector<std::byte> dy(x.size());
  stack.forward(batch, view(x, DType::f32), view(x, DType::f32), tape);
  std::vector<int64_t> loads(6);
  const ExchangePlan& plan = stack.plan(batch, 0);
  for (const int32_t expert : plan.experts) {
    if (expert >= 0) ++loads[expert];
  }
  stack.backward(batch, tape, view(dy, DType::f32), view(dy, DType::f32));
  optimizer.step(0.0f);
  for (const Parameter& parameter : stack.parameters()) {
    if (parameter.name != "gate_bias") continue;
    const std::vector<float> bias = values_of(parameter.value);
    int64_t moved = 0;
    for (const float value : bias) {
      CHECK((value == 0.5f || value == -0.5f || value == 0.0f));
      moved += value != 0.0f ? 1 : 0;
    }
    CHECK(moved > 0);
    if (context.size() > 1) continue;
    const int64_t all = std::ssize(plan.experts) - std::ranges::count(plan.experts, -1);
    for (size_t e = 0; e < bias.size(); ++e) {
      CHECK((bias[e] > 0.0f) == (6 * loads[e] < all));
      CHECK((bias[e] < 0.0f) == (6 * loads[e] > all));
    }
  }
}
