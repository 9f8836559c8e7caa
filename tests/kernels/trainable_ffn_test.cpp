// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/trainable_ffn.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "hashep/error.hpp"
#include "kernels/ffn/expert_ffn.hpp"
#include "kernels/ffn/gradient_oracle.hpp"
#include "kernels/gemm/packed_linear_xsmm.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

struct Case {
  FfnShape shape;
  DType dtype = DType::f32;
  bool biases = false;
  bool weighted = false;  // a weight for each row, whose gradients are wanted
  bool keeps_z = true;
  int threads = 1;
  GemmLibrary library = GemmLibrary::onednn;

  FfnLayout layout() const { return {shape, {biases, biases}}; }
};

double tolerance(DType dtype) {
  return dtype == DType::f32 ? 1e-5 : 2e-2;
}

/// Expert 1 has no rows, expert 2 more than one tile.
const std::vector<int64_t> kOffsets{0, 5, 5, 705, 742};
constexpr int64_t kExperts = 4;

/// What a case gives.
struct Results {
  Matrix outputs, inputs_gradient;
  std::vector<std::vector<float>> gradients;  // by expert
  std::vector<float> weight_gradients;

  bool operator==(const Results& other) const {
    return same_bits(outputs, other.outputs) && same_bits(inputs_gradient, other.inputs_gradient) &&
           gradients == other.gradients && weight_gradients == other.weight_gradients;
  }
};

std::vector<ExpertWeights> experts_of(const Case& c) {
  std::vector<ExpertWeights> experts;
  for (int64_t e = 0; e < kExperts; ++e) {
    experts.push_back(random_expert(c.shape, DType::f32, static_cast<uint64_t>(100 + e), 1.3f));
  }
  return experts;
}

std::vector<float> row_weights(const Case& c) {
  if (!c.weighted) return {};
  const Matrix weights = random_matrix(DType::f32, 1, kOffsets.back(), 3, 0.5f);
  return weights.values();
}

Matrix inputs_of(const Case& c) {
  return random_matrix(c.dtype, kOffsets.back(), c.shape.hidden_size, 1);
}

Matrix output_gradients_of(const Case& c) {
  return random_matrix(c.dtype, kOffsets.back(), c.shape.hidden_size, 2);
}

std::vector<ExpertTile> all_tiles() {
  std::vector<ExpertTile> tiles;
  for_each_tile(kOffsets, [&](const ExpertTile& tile) { tiles.push_back(tile); });
  return tiles;
}

constexpr float kEqualWeight = 0.5f;

/// Forward and backward of all rows, `times` times.
Results train(const Case& c, int times = 1) {
  TrainableFfn ffn(c.layout(), c.dtype, kExperts, c.threads, c.library);
  const std::vector<ExpertWeights> experts = experts_of(c);
  for (int64_t e = 0; e < kExperts; ++e) {
    ffn.set_expert(e, experts[static_cast<size_t>(e)].view(c.biases));
  }
  ffn.prepare(kOffsets);
  const int64_t rows = kOffsets.back();
  const int64_t d = c.shape.hidden_size;
  Results results{inputs_of(c), output_gradients_of(c), {}, {}};
  Matrix x(c.dtype, rows, d);
  Matrix z(c.dtype, rows, preactivation_size(c.shape));
  Matrix kept(c.dtype, rows, d);
  Matrix hidden(c.dtype, rows, c.shape.ffn_size);
  const std::vector<float> weights = row_weights(c);
  if (c.weighted) results.weight_gradients.resize(static_cast<size_t>(rows));
  for (int i = 0; i < times; ++i) {
    results.outputs = inputs_of(c);
    results.inputs_gradient = output_gradients_of(c);
    ffn.forward(all_tiles(), results.outputs.view(), 0,
                {x.view(), c.keeps_z ? z.view() : MatrixView{}});
    FfnBackwardRows back{.gradient = results.inputs_gradient.view(),
                         .x = x.view(),
                         .z = z.view(),
                         .has_z = c.keeps_z,
                         .kept = kept.view(),
                         .hidden = hidden.view(),
                         .weight = kEqualWeight};
    if (c.weighted) {
      back.weights = weights.data();
      back.weight_gradients = results.weight_gradients.data();
    }
    ffn.backward(all_tiles(), back, 0);
    std::vector<GradientSum> sums;
    for (int64_t e = 0; e < kExperts; ++e) {
      sums.push_back({{kOffsets[static_cast<size_t>(e)], kOffsets[static_cast<size_t>(e) + 1]},
                      ffn.gradients(e).data()});
    }
    ffn.add_gradients(sums, back);
  }
  for (int64_t e = 0; e < kExperts; ++e) {
    results.gradients.emplace_back(ffn.gradients(e).begin(), ffn.gradients(e).end());
  }
  return results;
}

std::vector<float> floats_of(ConstMatrixView matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.cols));
  if (!values.empty()) {
    convert_to_float(matrix.dtype, matrix.data, std::ssize(values), values.data());
  }
  return values;
}

void check_close(const char* what, std::span<const float> got, const Doubles& want, double most) {
  INFO(what);
  REQUIRE(got.size() == want.size());
  CHECK(distance(got, want) < most);
}

void check_against_oracle(const Case& c) {
  const Results got = train(c);
  const std::vector<ExpertWeights> experts = experts_of(c);
  const Doubles x = doubles_of(inputs_of(c).view());
  const Doubles dy = doubles_of(output_gradients_of(c).view());
  const std::vector<float> weights = row_weights(c);
  const auto d = static_cast<size_t>(c.shape.hidden_size);
  Doubles y, dw, dx(x.size());
  for (size_t e = 0; e < static_cast<size_t>(kExperts); ++e) {
    const OracleFfn ffn(experts[e].view(c.biases), c.dtype);
    OracleFfn gradients = ffn.zeros();
    for (auto row = static_cast<size_t>(kOffsets[e]); row < static_cast<size_t>(kOffsets[e + 1]);
         ++row) {
      const auto in = std::span(x).subspan(row * d, d);
      const Doubles out = oracle_ffn(c.shape, ffn, in);
      y.insert(y.end(), out.begin(), out.end());
      dw.push_back(oracle_ffn_backward(c.shape, ffn, in, std::span(dy).subspan(row * d, d),
                                       weights.empty() ? kEqualWeight : weights[row], gradients,
                                       std::span(dx).subspan(row * d, d), c.dtype));
    }
    INFO("expert " << e);
    std::vector<float> flat = got.gradients[e];
    const auto views = c.layout().views(reinterpret_cast<const std::byte*>(flat.data()));
    check_close("w1", floats_of(views.w1), gradients.w1, tolerance(c.dtype));
    check_close("w2", floats_of(views.w2), gradients.w2, tolerance(c.dtype));
    check_close("w3", floats_of(views.w3), gradients.w3, tolerance(c.dtype));
    check_close("bias1", floats_of(views.bias1), gradients.bias1, tolerance(c.dtype));
    check_close("bias2", floats_of(views.bias2), gradients.bias2, tolerance(c.dtype));
    check_close("bias3", floats_of(views.bias3), gradients.bias3, tolerance(c.dtype));
  }
  check_close("outputs", got.outputs.values(), y, tolerance(c.dtype));
  check_close("gradient of inputs", got.inputs_gradient.values(), dx, tolerance(c.dtype));
  if (c.weighted) {
    check_close("gradient of weights", got.weight_gradients, dw, tolerance(c.dtype));
  }
}

std::vector<GemmLibrary> libraries() {
  std::vector<GemmLibrary> found{GemmLibrary::onednn};
  if (why_no_xsmm().empty()) found.push_back(GemmLibrary::xsmm);
  return found;
}

}  // namespace

TEST_CASE("gradients of trained experts are those of the oracle") {
  const auto library = GENERATE(from_range(libraries()));
  const auto dtype = GENERATE(DType::f32, DType::bf16);
  const auto activation = GENERATE(Activation::relu, Activation::gelu, Activation::silu);
  const bool biases = GENERATE(false, true);
  const bool keeps_z = GENERATE(true, false);
  CAPTURE(static_cast<int>(library), dtype_name(dtype), static_cast<int>(activation), biases,
          keeps_z);
  check_against_oracle({.shape = {.hidden_size = 24, .ffn_size = 37, .activation = activation},
                        .dtype = dtype,
                        .biases = biases,
                        .weighted = biases,
                        .keeps_z = keeps_z,
                        .threads = 2,
                        .library = library});
}

TEST_CASE("the clamp of SwiGLU lets no gradient through where it clamps") {
  const auto dtype = GENERATE(DType::f32, DType::bf16);
  check_against_oracle({.shape = {.hidden_size = 16,
                                  .ffn_size = 64,
                                  .activation = Activation::silu,
                                  .swiglu_limit = 0.75f},
                        .dtype = dtype,
                        .weighted = true});
}

TEST_CASE("gradients of FFNs wider than a block of outputs, and than a function's block") {
  check_against_oracle({.shape = {.hidden_size = 520, .ffn_size = 260}, .threads = 3});
  check_against_oracle({.shape = {.hidden_size = 4, .ffn_size = 4100}, .threads = 2});
}

TEST_CASE("neither threads nor what is kept change a bit of gradients") {
  const auto dtype = GENERATE(DType::f32, DType::bf16);
  Case c{.shape = {.hidden_size = 530, .ffn_size = 70},
         .dtype = dtype,
         .biases = true,
         .weighted = true};
  const Results one = train(c);
  c.threads = 3;
  CHECK(train(c) == one);
  c.keeps_z = false;
  CHECK(train(c) == one);
}

TEST_CASE("what trained experts compute has the bits of packed ones") {
  const auto dtype = GENERATE(DType::f32, DType::bf16);
  const auto activation = GENERATE(Activation::relu, Activation::gelu, Activation::silu);
  const auto library = GENERATE(from_range(libraries()));
  CAPTURE(dtype_name(dtype), static_cast<int>(activation), static_cast<int>(library));
  // Kernels of fewer outputs, which w1 and w3 have together elsewhere than apart, sum in another
  // order with LIBXSMM, and with oneDNN below AVX-512.
  const Case c{.shape = {.hidden_size = 40,
                         .ffn_size = 96,
                         .activation = activation,
                         .swiglu_limit = activation == Activation::silu ? 1.0f : 0.0f},
               .dtype = dtype,
               .biases = true,
               .library = library};
  ExpertFfn ffn(c.shape, c.dtype, kExperts, 1, c.library);
  const std::vector<ExpertWeights> experts = experts_of(c);
  for (int64_t e = 0; e < kExperts; ++e) {
    ffn.set_expert(e, experts[static_cast<size_t>(e)].view(c.biases));
  }
  ffn.prepare(kOffsets);
  Matrix rows = inputs_of(c);
  ffn.run(kOffsets, rows.view());
  CHECK(same_bits(train(c).outputs, rows));
}

TEST_CASE("gradients add up over batches") {
  const Case c{.shape = {.hidden_size = 24, .ffn_size = 32}};
  const Results once = train(c);
  const Results twice = train(c, 2);
  for (size_t e = 0; e < once.gradients.size(); ++e) {
    const Doubles doubled = [&] {
      Doubles values(once.gradients[e].begin(), once.gradients[e].end());
      for (double& value : values) value *= 2.0;
      return values;
    }();
    CHECK(distance(twice.gradients[e], doubled) < 1e-6);
  }
  // An expert without rows has a gradient, which is zero.
  CHECK(std::ranges::all_of(once.gradients[1], [](float value) { return value == 0.0f; }));
}

TEST_CASE("packing again follows parameters") {
  const Case c{.shape = {.hidden_size = 24, .ffn_size = 40}, .biases = true};
  TrainableFfn ffn(c.layout(), c.dtype, 1, 1, c.library);
  const std::vector<ExpertWeights> experts = experts_of(c);
  ffn.set_expert(0, experts[0].view(true));
  TrainableFfn other(c.layout(), c.dtype, 1, 1, c.library);
  other.set_expert(0, experts[1].view(true));
  std::ranges::copy(other.values(0), ffn.values(0).begin());
  ffn.pack(0);
  const std::vector<int64_t> offsets{0, 9};
  const std::vector<ExpertTile> tiles{{0, 0, 9}};
  const auto run = [&](TrainableFfn& which) {
    Matrix rows = random_matrix(c.dtype, 9, c.shape.hidden_size, 8);
    which.prepare(offsets);
    which.forward(tiles, rows.view(), 0, {});
    return rows;
  };
  CHECK(same_bits(run(ffn), run(other)));
}

TEST_CASE("experts with other biases than the layout's cannot be trained") {
  const Case c{.shape = {.hidden_size = 24, .ffn_size = 40}, .biases = true};
  TrainableFfn ffn(c.layout(), c.dtype, 1, 1, c.library);
  CHECK_THROWS_AS(ffn.set_expert(0, experts_of(c)[0].view(false)), InputError);
}

}  // namespace hashep::test
