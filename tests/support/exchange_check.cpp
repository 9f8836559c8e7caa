// SPDX-License-Identifier: Apache-2.0
#include "tests/support/exchange_check.hpp"

#include <array>
#include <cmath>

#include "hashep/buffer.hpp"

namespace hashep::test {
namespace {

struct Typed {
  DType dtype;

  float get(const std::byte* row, int64_t column) const {
    float value = 0.0f;
    convert_to_float(dtype, row + column * dtype_size(dtype), 1, &value);
    return value;
  }
  void set(std::byte* row, int64_t column, float value) const {
    convert_from_float(&value, 1, dtype, row + column * dtype_size(dtype));
  }
};

/// Of rows for which `counts(row)`.
template <typename Counts>
int64_t wrong_in_dispatch(const MatrixView& rows, const RandomRouting& routing,
                          const ExchangePlan& plan, Counts&& counts) {
  const Typed typed{rows.dtype};
  int64_t wrong = 0;
  int64_t row = 0;
  for (const int32_t expert : plan.local_experts) {
    for (int source = 0; source < routing.ep_size; ++source) {
      const auto& experts = routing.experts[source];
      for (size_t a = 0; a < experts.size(); ++a) {
        if (experts[a] != expert) continue;
        for (int64_t c = 0; c < rows.cols && counts(row); ++c) {
          const auto token = static_cast<int64_t>(a) / routing.top_k;
          wrong += typed.get(rows.row(row), c) != address_element(source, token, c) ? 1 : 0;
        }
        ++row;
      }
    }
  }
  return wrong + (row != rows.rows ? 1 : 0);
}

void run_experts(const MatrixView& rows, const ExchangePlan& plan) {
  const Typed typed{rows.dtype};
  for (size_t i = 0; i < plan.local_experts.size(); ++i) {
    for (int64_t row = plan.expert_offsets[i]; row < plan.expert_offsets[i + 1]; ++row) {
      for (int64_t c = 0; c < rows.cols; ++c) {
        const float value = typed.get(rows.row(row), c);
        typed.set(rows.row(row), c, 2.0f * value + static_cast<float>(plan.local_experts[i]));
      }
    }
  }
}

int64_t wrong_in_combine(const MatrixView& y, const ExchangePlan& plan,
                         std::span<const float> weights) {
  const Typed typed{y.dtype};
  int64_t wrong = 0;
  for (int64_t token = 0; token < plan.tokens; ++token) {
    for (int64_t c = 0; c < y.cols; ++c) {
      float sum = 0.0f;
      for (int j = 0; j < plan.top_k; ++j) {
        const auto a = static_cast<size_t>(token * plan.top_k + j);
        if (plan.experts[a] < 0) continue;
        const float output =
            2.0f * address_element(plan.ep_rank, token, c) + static_cast<float>(plan.experts[a]);
        sum += weights[a] * output;
      }
      std::array<std::byte, 4> expected{};
      typed.set(expected.data(), 0, sum);
      wrong += typed.get(y.row(token), c) != typed.get(expected.data(), 0) ? 1 : 0;
    }
  }
  return wrong;
}

}  // namespace

float address_element(int rank, int64_t token, int64_t column) {
  constexpr int64_t kBase = 64;
  const std::array<int64_t, 4> digits = {rank, token, token / kBase, token / (kBase * kBase)};
  return static_cast<float>((digits[column % 4] + column / 4 * 5) % kBase);
}

ExchangeErrors check_exchange(ExchangeDriver& driver, const RandomRouting& routing,
                              const ExchangePlan& plan, DType dtype, int64_t hidden_size) {
  const Typed typed{dtype};
  Buffer x_buffer(plan.tokens * hidden_size * dtype_size(dtype));
  Buffer y_buffer(plan.tokens * hidden_size * dtype_size(dtype));
  const MatrixView x = x_buffer.matrix(dtype, plan.tokens, hidden_size);
  const MatrixView y = y_buffer.matrix(dtype, plan.tokens, hidden_size);
  for (int64_t token = 0; token < plan.tokens; ++token) {
    for (int64_t c = 0; c < hidden_size; ++c) {
      typed.set(x.row(token), c, address_element(plan.ep_rank, token, c));
      typed.set(y.row(token), c, std::nanf(""));
    }
  }
  // Powers of two: every order of summation and every rounding is exact.
  std::vector<float> weights;
  for (size_t a = 0; a < plan.experts.size(); ++a) weights.push_back(a % 2 == 0 ? 0.5f : 0.25f);

  ExchangeErrors errors;
  errors.rows_received = plan.total_recv();
  driver.begin(plan, dtype, hidden_size);
  driver.set_on_part([&](const Exchange& exchange, int part, MatrixView rows) {
    errors.early += wrong_in_dispatch(rows, routing, plan, [&](int64_t row) {
      return exchange.part_of({row, row + 1}) <= part;
    });
  });
  for (int repeat = 0; repeat < 2; ++repeat) {
    const MatrixView rows = driver.dispatch(x);
    errors.dispatch += wrong_in_dispatch(rows, routing, plan, [](int64_t) { return true; });
    run_experts(rows, plan);
    driver.combine(weights, {}, y);
    errors.combine += wrong_in_combine(y, plan, weights);
  }
  driver.set_on_part(nullptr);
  return errors;
}

}  // namespace hashep::test
