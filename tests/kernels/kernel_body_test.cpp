// SPDX-License-Identifier: Apache-2.0
// What a GPU's threads do, run by the CPU.
#include <algorithm>

#include "hashep/error.hpp"
#include "kernels/ffn/activation_body.hpp"
#include "kernels/gate/gate_body.hpp"
#include "kernels/rows/add_bias_body.hpp"
#include "kernels/rows/add_rows_body.hpp"
#include "kernels/rows/combine_body.hpp"
#include "kernels/rows/scatter_body.hpp"
#include "tests/kernels/body_machine.hpp"
#include "tests/kernels/kernel_cases.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

/// Counts how many threads wrote each element of an output: after each thread, what is no poison
/// has been written, and is poisoned again.
class WriteCounts {
 public:
  WriteCounts(BodyMachine& machine, MatrixView output)
      : output_(output), counts_(output.rows * output.cols) {
    machine.after_thread = [this] { count(); };
  }

  bool all_once() const {
    return !counts_.empty() &&
           std::all_of(counts_.begin(), counts_.end(), [](int count) { return count == 1; });
  }

 private:
  void count() {
    const auto size = dtype_size(output_.dtype);
    for (size_t i = 0; i < counts_.size(); ++i) {
      std::byte* const element = output_.data + static_cast<int64_t>(i) * size;
      const bool is_poison =
          std::all_of(element, element + size, [](std::byte b) { return b == std::byte{0xff}; });
      if (is_poison) continue;
      ++counts_[i];
      std::fill_n(element, size, std::byte{0xff});
    }
  }

  MatrixView output_;
  std::vector<int> counts_;
};

/// Assignments of `tokens` tokens to rows 0, 1, ... of expert 0.
struct PlainRoutes {
  PlainRoutes(int64_t tokens, int top_k) : experts(static_cast<size_t>(tokens * top_k)) {
    for (size_t i = 0; i < experts.size(); ++i) rows.push_back(static_cast<int64_t>(i));
  }
  std::vector<int32_t> experts;
  std::vector<int64_t> rows;
};

}  // namespace

TEST_CASE("scatter's threads do what the CPU does") {
  BodyMachine machine;
  check_scatter_cases(machine);
}

TEST_CASE("combine's threads do what the CPU does") {
  BodyMachine machine;
  check_combine_cases(machine);
}

TEST_CASE("add_rows' threads do what the CPU does") {
  BodyMachine machine;
  check_add_rows_cases(machine);
}

TEST_CASE("the gate's threads agree with the oracle") {
  BodyMachine machine;
  check_gate_cases(machine);
}

TEST_CASE("the gate's threads fuse products with sums, whatever the compiler does") {
  BodyMachine machine;
  check_gate_fuses(machine);
}

TEST_CASE("the gate's sums depend on nothing but their token") {
  BodyMachine machine;
  check_gate_independence(machine);
}

TEST_CASE("activate's threads agree with plain formulas") {
  BodyMachine machine;
  check_activation_cases(machine);
}

TEST_CASE("activate keeps NaN and infinity, and does not overflow inside") {
  BodyMachine machine;
  check_activation_of_special_values(machine);
}

TEST_CASE("add_bias' threads add in fp32 and round once") {
  BodyMachine machine;
  check_add_bias_cases(machine);
}

TEST_CASE("each element is written by one thread, once") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t d : {1, 3, 24, 100, 1000, 4104}) {
      for (const int top_k : {1, 6, 11}) {
        const int64_t tokens = d > 1000 ? 2 : 5;
        BodyMachine machine;
        const Matrix x = random_matrix(dtype, tokens, d, 1);
        const PlainRoutes routes(tokens, top_k);
        CAPTURE(d, top_k);
        {
          const Output rows(machine, dtype, tokens * top_k, d);
          const std::vector<ExpertPlace> places{{rows.view().data, 0}};
          const WriteCounts counts(machine, rows.view());
          machine.scatter_rows(x.view(), {routes.experts, routes.rows, top_k, places});
          CHECK(counts.all_once());
        }
        {
          Matrix rows = random_matrix(dtype, tokens * top_k, d, 2);
          const std::vector<ExpertPlace> places{{rows.view().data, 0}};
          const Output y(machine, dtype, tokens, d);
          const WriteCounts counts(machine, y.view());
          machine.combine_rows({places, routes.experts, routes.rows, top_k, {}, {}}, y.view());
          CHECK(counts.all_once());
        }
        {
          const Matrix gate = random_matrix(DType::f32, 1, d, 2);
          const Output weights(machine, DType::f32, tokens, top_k);
          const WriteCounts counts(machine, weights.view());
          machine.gate_weights(x.view(), gate.view(), routes.experts, top_k, 1.0f,
                               {weights.view().row_as<float>(0), routes.experts.size()});
          CHECK(counts.all_once());
        }
        {
          const Output hidden(machine, dtype, tokens, d);
          const WriteCounts counts(machine, hidden.view());
          machine.activate({1, d, Activation::gelu}, {x.view()}, hidden.view());
          CHECK(counts.all_once());
        }
      }
    }
  }
}

TEST_CASE("rows are read and written as wide as alignment allows") {
  const PlainRoutes routes(2, 1);
  const std::vector<ExpertPlace> places(1);
  const ScatterPlan plan{routes.experts, routes.rows, 1, places};
  const auto access = [&](int64_t d, int misaligned_by) {
    const Matrix x = random_matrix(DType::bf16, 2, d, 1, 1.0f, misaligned_by);
    return scatter_arguments(x.view(), plan).access_bytes;
  };
  CHECK(access(4096, 0) == 16);
  CHECK(access(4, 0) == 8);
  CHECK(access(4096, 8) == 8);
  CHECK(access(6, 0) == 4);
  CHECK(access(4096, 2) == 2);
  CHECK(access(7, 0) == 2);

  Matrix y(DType::f32, 2, 8);
  const CombineInput input{places, routes.experts, routes.rows, 1, {}, {}};
  CHECK(combine_arguments(input, y.view()).access_bytes == 16);
  CHECK(add_rows_arguments(y.view(), y.view()).access_bytes == 16);
  alignas(16) float bias[9] = {};
  CHECK(add_bias_arguments(bias, y.view()).access_bytes == 16);
  CHECK(add_bias_arguments(bias + 1, y.view()).access_bytes == 4);
  Matrix hidden(DType::bf16, 2, 8);
  const FfnShape shape{1, 8, Activation::relu};
  CHECK(activation_arguments(shape, {y.view()}, hidden.view()).elements == 8);
  CHECK(activation_arguments(shape, {y.view(), bias + 1}, hidden.view()).elements == 1);
  std::vector<float> weights(2);
  const auto gate_is_wide = [&](const Matrix& x) {
    return gate_arguments(x.view(), y.view(), routes.experts, 1, 1.0f, weights).is_wide;
  };
  CHECK(gate_is_wide(random_matrix(DType::bf16, 2, 8, 1)));
  CHECK_FALSE(gate_is_wide(random_matrix(DType::bf16, 2, 8, 1, 1.0f, 2)));
}

TEST_CASE("no row, no column: nothing is launched") {
  BodyMachine machine;
  int64_t threads = 0;
  machine.after_thread = [&] { ++threads; };
  Matrix none(DType::f32, 0, 8);
  Matrix narrow(DType::f32, 8, 0);
  machine.scatter_rows(none.view(), {{}, {}, 1, {}});
  machine.combine_rows({}, none.view());
  machine.add_rows(none.view(), none.view());
  machine.add_rows(narrow.view(), narrow.view());
  machine.gate_weights(none.view(), none.view(), {}, 1, 1.0f, {});
  machine.activate({1, 8, Activation::relu}, {none.view()}, none.view());
  machine.add_bias(nullptr, none.view());
  CHECK(threads == 0);
}

TEST_CASE("a GPU's kernels refuse what they can't do") {
  Matrix x = random_matrix(DType::f32, 2, 8, 1);
  const std::vector<int32_t> experts(2 * 65);
  const std::vector<int64_t> rows(2 * 65);
  std::vector<float> weights(2 * 65);
  const std::vector<ExpertPlace> places{{x.view().data, 0}};
  const auto combine = [&](size_t top_k) {
    const auto count = 2 * top_k;
    return combine_arguments({places,
                              std::span(experts).first(count),
                              std::span(rows).first(count),
                              static_cast<int>(top_k),
                              {},
                              {}},
                             x.view());
  };
  const auto gate = [&](size_t top_k) {
    const auto count = 2 * top_k;
    return gate_arguments(x.view(), x.view(), std::span(experts).first(count),
                          static_cast<int>(top_k), 1.0f, std::span(weights).first(count));
  };
  CHECK(combine(64).top_k == 64);
  CHECK_THROWS_WITH(combine(65), ContainsSubstring("top_k = 65"));
  CHECK(gate(64).top_k == 64);
  CHECK_THROWS_WITH(gate(65), ContainsSubstring("top_k = 65"));
  CHECK_THROWS_AS(combine(0), RunError);

  Matrix shifted = random_matrix(DType::f32, 2, 8, 1, 1.0f, 2);
  const PlainRoutes routes(2, 1);
  CHECK_THROWS_WITH(scatter_arguments(shifted.view(), {routes.experts, routes.rows, 1, places}),
                    ContainsSubstring("not aligned"));
  CHECK_THROWS_WITH(activation_arguments({1, 8, Activation::relu}, {shifted.view()}, x.view()),
                    ContainsSubstring("not aligned"));
  CHECK_THROWS_AS(activation_arguments({1, 8, Activation::silu}, {x.view()}, x.view()), RunError);
  CHECK_THROWS_AS(
      activation_arguments({1, 8, Activation::relu}, {x.view(), nullptr, weights.data()}, x.view()),
      RunError);
  CHECK_THROWS_AS(add_bias_arguments(nullptr, x.view()), RunError);
  Matrix halves(DType::f16, 2, 8);
  CHECK_THROWS_AS(add_rows_arguments(halves.view(), halves.view()), RunError);
}

}  // namespace hashep::test
