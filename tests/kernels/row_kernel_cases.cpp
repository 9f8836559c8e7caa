// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "tests/kernels/kernel_cases.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr int kThreads = 1;  // of the CPU kernels

std::vector<std::byte> bytes_of(ConstMatrixView matrix) {
  return {matrix.data, matrix.data + matrix.bytes()};
}

/// Elements of the output whose bits are not the expected ones.
int64_t wrong_elements(const Output& output, const Matrix& expected) {
  const std::vector<std::byte> got = output.bytes();
  const auto size = static_cast<size_t>(dtype_size(output.view().dtype));
  int64_t wrong = 0;
  for (size_t at = 0; at < got.size(); at += size) {
    wrong += std::memcmp(&got[at], expected.view().data + at, size) == 0 ? 0 : 1;
  }
  return wrong;
}

struct CombineCase {
  DType dtype = DType::f32;
  int64_t tokens = 0;
  int64_t d = 0;
  int top_k = 1;
  bool weighted = false;
  bool shared = false;
  int misaligned_by = 0;
};

void check_combine_case(KernelMachine& machine, const CombineCase& c) {
  machine.release();
  MadeRoutes routes(c.tokens, c.top_k);
  for (int64_t token = 0; token < c.tokens; token += 7) {  // some have fewer choices
    if (c.top_k > 1) routes.rows[token * c.top_k + 1] = -1;
  }
  Matrix rows = random_matrix(c.dtype, c.tokens * c.top_k, c.d, 5);
  const Matrix shared = random_matrix(c.dtype, c.shared ? c.tokens : 0, c.d, 6);
  std::vector<float> weights(c.weighted ? routes.rows.size() : 0);
  std::mt19937 random(3);
  for (float& weight : weights) weight = static_cast<float>(random() % 1000) * 0.0017f;

  Matrix expected(c.dtype, c.tokens, c.d);
  const std::vector<ExpertPlace> places = MadeRoutes::places(rows.view().data);
  combine_rows({places, routes.experts, routes.rows, c.top_k, weights, shared.view()},
               expected.view(), kThreads);

  Output y(machine, c.dtype, c.tokens, c.d, c.misaligned_by);
  const MatrixView rows_there = put(machine, std::as_const(rows).view());
  const std::vector<ExpertPlace> places_there = MadeRoutes::places(rows_there.data);
  CombineInput input{.places = put(machine, places_there),
                     .experts = put(machine, routes.experts),
                     .row_of = put(machine, routes.rows),
                     .top_k = c.top_k,
                     .weights = {},
                     .shared = put(machine, shared.view(), c.misaligned_by)};
  if (c.weighted) input.weights = put(machine, weights);
  machine.combine_rows(input, y.view());
  CAPTURE(dtype_name(c.dtype), c.tokens, c.d, c.top_k, c.weighted, c.shared, c.misaligned_by);
  CHECK(wrong_elements(y, expected) == 0);
}

/// Rows of an x of kListedRows for each of some tokens: some more than once, some not at all.
constexpr int64_t kListedRows = 17;
std::vector<int32_t> made_list(int64_t tokens) {
  std::vector<int32_t> listed;
  for (int64_t token = 0; token < tokens; ++token) {
    listed.push_back(static_cast<int32_t>(token * token % kListedRows));
  }
  return listed;
}

}  // namespace

MadeRoutes::MadeRoutes(int64_t tokens, int top_k)
    : experts(static_cast<size_t>(tokens * top_k), -1),
      rows(static_cast<size_t>(tokens * top_k), -1) {
  const auto total = static_cast<int64_t>(rows.size());
  std::vector<int64_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(11);
  std::shuffle(order.begin(), order.end(), random);
  for (int64_t a = 0; a < total; ++a) {
    if (a / top_k % 5 == 2) continue;
    const int64_t row = order[a];
    const int64_t expert = row * kPlaces / total;
    experts[a] = static_cast<int32_t>(expert);
    rows[a] = row + 1000 * expert;
  }
}

std::vector<ExpertPlace> MadeRoutes::places(std::byte* data) {
  std::vector<ExpertPlace> made;
  for (int64_t expert = 0; expert < kPlaces; ++expert) made.push_back({data, -1000 * expert});
  return made;
}

void check_scatter_cases(KernelMachine& machine) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t d : kRowSizes) {
      for (const int top_k : {1, 2, 6, 64}) {
        for (const int misaligned_by : {0, static_cast<int>(dtype_size(dtype)), 8}) {
          for (const int64_t tokens : {int64_t{0}, tokens_of_size(d)}) {
            for (const auto& [all_null, is_listed] :
                 {std::pair{false, false}, std::pair{true, false}, std::pair{false, true}}) {
              machine.release();
              const MadeRoutes routes(tokens, top_k);
              const std::vector<int32_t> listed = made_list(is_listed ? tokens : 0);
              const Matrix x = random_matrix(dtype, listed.empty() ? tokens : kListedRows, d, 4);
              Matrix expected(dtype, tokens * top_k, d);
              Output rows(machine, dtype, tokens * top_k, d);
              std::vector<ExpertPlace> places = MadeRoutes::places(expected.view().data);
              std::vector<ExpertPlace> there = MadeRoutes::places(rows.view().data);
              for (size_t expert = 0; expert < places.size(); ++expert) {
                if (expert != 3 && !all_null) continue;
                places[expert].data = nullptr;
                there[expert].data = nullptr;
              }
              scatter_rows(x.view(), {routes.experts, routes.rows, top_k, places, listed}, false,
                           kThreads);
              machine.scatter_rows(put(machine, x.view(), misaligned_by),
                                   {put(machine, routes.experts), put(machine, routes.rows), top_k,
                                    put(machine, there), put(machine, listed)});
              CAPTURE(d, top_k, misaligned_by, tokens, all_null, is_listed);
              CHECK(rows.bytes() == bytes_of(expected.view()));
            }
          }
        }
      }
    }
  }
}

void check_combine_cases(KernelMachine& machine) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t d : kRowSizes) {
      for (const int top_k : {1, 2, 3, 6, 8, 9, 64}) {
        for (const int misaligned_by : {0, static_cast<int>(dtype_size(dtype))}) {
          for (const int variant : {0, 1, 2, 3}) {
            check_combine_case(machine, {dtype, tokens_of_size(d), d, top_k, variant % 2 == 1,
                                         variant / 2 == 1, misaligned_by});
          }
        }
        check_combine_case(machine, {dtype, 0, d, top_k, true, false, 0});
      }
    }
  }
}

void check_add_rows_cases(KernelMachine& machine) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t d : kRowSizes) {
      for (const int64_t tokens : {int64_t{0}, tokens_of_size(d)}) {
        for (const int misaligned_by : {0, static_cast<int>(dtype_size(dtype)), 8}) {
          machine.release();
          const Matrix y = random_matrix(dtype, tokens, d, 1);
          const Matrix before = random_matrix(dtype, tokens, d, 2);
          Matrix expected = random_matrix(dtype, tokens, d, 2);
          add_rows(y.view(), expected.view(), kThreads);
          Output x(machine, dtype, tokens, d, misaligned_by);
          machine.write(x.view().data, before.view().data, before.view().bytes());
          machine.add_rows(put(machine, y.view(), misaligned_by), x.view());
          CAPTURE(d, tokens, misaligned_by);
          CHECK(x.bytes() == bytes_of(expected.view()));
        }
      }
    }
  }
}

void check_add_bias_cases(KernelMachine& machine) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t d : kRowSizes) {
      for (const int64_t rows : {int64_t{0}, tokens_of_size(d)}) {
        for (const int misaligned_by : {0, static_cast<int>(dtype_size(dtype))}) {
          for (const int bias_misaligned_by : {0, 4}) {
            machine.release();
            const Matrix before = random_matrix(dtype, rows, d, 1);
            const std::vector<float> bias = random_matrix(DType::f32, 1, d, 2).values();
            std::vector<float> sums = before.values();
            for (size_t i = 0; i < sums.size(); ++i) sums[i] += bias[i % bias.size()];
            Matrix expected(dtype, rows, d);
            expected.set(sums);
            Output x(machine, dtype, rows, d, misaligned_by);
            machine.write(x.view().data, before.view().data, before.view().bytes());
            machine.add_bias(put(machine, bias, bias_misaligned_by).data(), x.view());
            CAPTURE(d, rows, misaligned_by, bias_misaligned_by);
            CHECK(x.bytes() == bytes_of(expected.view()));
          }
        }
      }
    }
  }
}

}  // namespace hashep::test
