// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/experts_bench.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "benchmarks/gemm_alone.hpp"
#include "core/format.hpp"
#include "core/random.hpp"
#include "hashep/buffer.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/expert_ffn.hpp"

namespace hashep::bench {
namespace {

struct Case {
  FfnShape shape;
  DType dtype = DType::f32;
  int64_t rows_per_expert = 0;
};

std::string activation_name(Activation activation) {
  switch (activation) {
    case Activation::relu:
      return "relu";
    case Activation::gelu:
      return "gelu";
    case Activation::silu:
      return "silu";
  }
  throw RunError("activation_name: unknown activation");
}

/// Normal values times `scale` in fp32.
ConstMatrixView fill(Buffer& buffer, int64_t rows, int64_t cols, uint64_t key, float scale) {
  buffer.reserve(rows * cols * dtype_size(DType::f32));
  const MatrixView matrix = buffer.matrix(DType::f32, rows, cols);
  const std::span<float> values(matrix.row_as<float>(0), static_cast<size_t>(rows * cols));
  fill_normal(key, 0, values);
  for (float& value : values) value *= scale;
  return matrix;
}

/// The same random weights in both, expert by expert.
void set_experts(const Case& c, int64_t num_experts, ExpertFfn& ffn, GemmAlone& alone) {
  const int64_t d = c.shape.hidden_size;
  const int64_t f = c.shape.ffn_size;
  const float in_scale = 1.0f / std::sqrt(static_cast<float>(d));
  const float out_scale = 1.0f / std::sqrt(static_cast<float>(f));
  std::array<Buffer, 3> buffers;
  for (int64_t e = 0; e < num_experts; ++e) {
    const uint64_t key = derive_key(1, static_cast<uint64_t>(e));
    FfnWeights weights;
    weights.w1 = fill(buffers[0], f, d, derive_key(key, 1), in_scale);
    weights.w2 = fill(buffers[1], d, f, derive_key(key, 2), out_scale);
    if (c.shape.activation == Activation::silu) {
      weights.w3 = fill(buffers[2], f, d, derive_key(key, 3), in_scale);
    }
    ffn.set_expert(e, weights);
    alone.set_expert(e, weights);
  }
}

/// Rows that differ by more than the dtype's promise (relative Euclidean norm).
int64_t wrong_rows(ConstMatrixView rows, const GemmAlone& alone) {
  const double tolerance = rows.dtype == DType::f32 ? 1e-5 : 1e-2;
  int64_t wrong = 0;
  std::vector<float> row(rows.cols);
  for (int64_t i = 0; i < rows.rows; ++i) {
    convert_to_float(rows.dtype, rows.row(i), rows.cols, row.data());
    const std::vector<float> expected = alone.result(i);
    double difference = 0.0;
    double norm = 0.0;
    for (size_t j = 0; j < row.size(); ++j) {
      difference += (double{row[j]} - expected[j]) * (double{row[j]} - expected[j]);
      norm += double{expected[j]} * expected[j];
    }
    if (!(std::sqrt(difference) <= tolerance * std::sqrt(norm)) || norm == 0.0) ++wrong;
  }
  return wrong;
}

double gflops_per_second(const Case& c, int64_t num_experts, double microseconds) {
  const double gemms = c.shape.activation == Activation::silu ? 3.0 : 2.0;
  return gemms * 2.0 * static_cast<double>(num_experts * c.rows_per_expert) *
         static_cast<double>(c.shape.hidden_size) * static_cast<double>(c.shape.ffn_size) /
         (microseconds * 1e3);
}

std::array<MeasuredRow, 2> measure(const Case& c, const ExpertsOptions& options) {
  const int64_t num_experts = options.num_experts;
  const int64_t d = c.shape.hidden_size;
  const int64_t tokens = num_experts * c.rows_per_expert;
  ExpertFfn ffn(c.shape, c.dtype, num_experts, options.threads, options.gemm_library);
  GemmAlone alone(c.shape, c.dtype, num_experts, c.rows_per_expert, options.threads);
  set_experts(c, num_experts, ffn, alone);
  std::vector<int64_t> offsets;
  for (int64_t e = 0; e <= num_experts; ++e) offsets.push_back(e * c.rows_per_expert);
  ffn.prepare(offsets);

  Buffer floats;
  const ConstMatrixView values = fill(floats, tokens, d, 2, 1.0f);
  Buffer x_storage(tokens * d * dtype_size(c.dtype));
  const MatrixView x = x_storage.matrix(c.dtype, tokens, d);
  convert_from_float(values.row_as<float>(0), tokens * d, c.dtype, x.data);
  Buffer rows_storage(x.bytes());
  const MatrixView rows = rows_storage.matrix(c.dtype, tokens, d);
  // Experts work in place: without fresh rows, values would shrink from run to run.
  const auto fresh_rows = [&] { std::memcpy(rows.data, x.data, x.bytes()); };

  fresh_rows();
  ffn.run(offsets, rows);
  alone.set_rows(x);
  alone.run(true);
  const int64_t wrong = wrong_rows(rows, alone);
  const std::array<Timed, 2> things{Timed{fresh_rows, [&] { ffn.run(offsets, rows); }},
                                    Timed{[&] { alone.set_rows(x); }, [&] { alone.run(false); }}};
  const auto samples = time_in_turn(options.sampling, things);

  MeasuredRow row;
  row.device = "cpu";
  row.dtype = dtype_name(c.dtype);
  row.workload = activation_name(c.shape.activation) + ", " + std::to_string(c.rows_per_expert) +
                 " rows per expert";
  row.tokens_per_rank = tokens;
  row.hidden_size = d;
  row.ffn_size = c.shape.ffn_size;
  row.num_experts = num_experts;
  row.top_k = 1;
  row.wrong = wrong;
  std::array<MeasuredRow, 2> measured{row, row};
  measured[0].name = "experts";
  measured[0].samples_us = samples[0];
  measured[1].name = "gemm_alone";
  measured[1].samples_us = samples[1];
  return measured;
}

void print(const Case& c, int64_t num_experts, const std::array<MeasuredRow, 2>& measured) {
  const double alone_us = median(measured[1].samples_us);
  for (const MeasuredRow& row : measured) {
    const double us = median(row.samples_us);
    print_row(row, format("%6.1f GFLOP/s  %5.1f %% of gemm_alone, %lld wrong",
                          gflops_per_second(c, num_experts, us), 100.0 * alone_us / us,
                          static_cast<long long>(row.wrong.value_or(0))));
  }
}

}  // namespace

nlohmann::ordered_json measure_experts(const ExpertsOptions& options) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const DType dtype : options.dtypes) {
    const ExpertFfn named({1, 1, Activation::relu}, dtype, 0, 1, options.gemm_library);
    std::printf("# %s: %s, %d threads\n", std::string(dtype_name(dtype)).c_str(),
                std::string(named.implementation()).c_str(), options.threads);
    for (const int64_t ffn_size : options.ffn_sizes) {
      std::printf("# hidden_size %lld, ffn_size %lld, %lld experts\n",
                  static_cast<long long>(options.hidden_size), static_cast<long long>(ffn_size),
                  static_cast<long long>(options.num_experts));
      for (const Activation activation : options.activations) {
        for (const int64_t rows : options.rows_per_expert) {
          const Case c{{options.hidden_size, ffn_size, activation}, dtype, rows};
          const auto measured = measure(c, options);
          print(c, options.num_experts, measured);
          for (const MeasuredRow& row : measured) results.push_back(row_json(row));
          if (measured[0].wrong != 0) {
            throw RunError("experts: " + std::to_string(*measured[0].wrong) +
                           " rows differ from the GEMMs alone");
          }
        }
      }
    }
  }
  return results;
}

}  // namespace hashep::bench
