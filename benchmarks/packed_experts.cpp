// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/packed_experts.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/format.hpp"
#include "core/quantise.hpp"
#include "core/quantised_matrix.hpp"
#include "core/random.hpp"
#include "hashep/buffer.hpp"
#include "hashep/error.hpp"
#include "kernels/ffn/expert_ffn.hpp"

namespace hashep::bench {
namespace {

constexpr int kForms = 3;
constexpr std::array<const char*, kForms> kNames = {"experts_bf16", "experts_fp8", "experts_fp4"};

/// The matrices of one expert in all forms. All experts have the same values, each in memory of its
/// own once it is packed.
class Weights {
 public:
  explicit Weights(const FfnShape& shape) : shape_(shape) {
    for (int i = 0; i < 3; ++i) {
      const int64_t rows = i == 1 ? shape.hidden_size : shape.ffn_size;
      const int64_t cols = i == 1 ? shape.ffn_size : shape.hidden_size;
      std::vector<float> values(static_cast<size_t>(rows * cols));
      fill_normal(derive_key(1, static_cast<uint64_t>(i)), 0, values);
      for (float& value : values) value /= std::sqrt(static_cast<float>(cols));
      Matrix& matrix = matrices_[i];
      matrix.quantised[0] = quantise(values.data(), rows, cols, QuantFormat::fp8_e4m3, 128, 128);
      matrix.quantised[1] = quantise(values.data(), rows, cols, QuantFormat::fp4_e2m1, 1, 32);
      for (int format = 0; format < 2; ++format) {
        const QuantisedView& view = matrix.quantised[format].view;
        matrix.expanded[format].reserve(rows * cols * dtype_size(exact_dtype(view)));
        dequantise(view, 0, rows, exact_dtype(view), matrix.expanded[format].data());
      }
    }
  }

  /// format: 0 for FP8, 1 for FP4.
  FfnWeights packed(int format) const {
    FfnWeights weights;
    weights.quantised = {matrices_[0].quantised[format].view, matrices_[1].quantised[format].view,
                         matrices_[2].quantised[format].view};
    return weights;
  }
  FfnWeights expanded(int format) const {
    const auto view = [&](int i) {
      const QuantisedView& of = matrices_[i].quantised[format].view;
      return matrices_[i].expanded[format].matrix(exact_dtype(of), of.rows, of.cols);
    };
    FfnWeights weights;
    weights.w1 = view(0);
    weights.w2 = view(1);
    weights.w3 = view(2);
    return weights;
  }

 private:
  struct Matrix {
    std::array<QuantisedMatrix, 2> quantised;
    std::array<Buffer, 2> expanded;
  };
  FfnShape shape_;
  std::array<Matrix, 3> matrices_;  // w1, w2, w3
};

/// Experts and rows for them.
class Experts {
 public:
  Experts(const ExpertsOptions& options, const FfnShape& shape, const FfnWeights& weights)
      : num_experts_(options.num_experts),
        ffn_(shape, DType::bf16, options.num_experts, options.threads, options.gemm_library) {
    for (int64_t expert = 0; expert < num_experts_; ++expert) ffn_.set_expert(expert, weights);
  }

  void prepare(int64_t rows_per_expert, ConstMatrixView x) {
    offsets_.clear();
    for (int64_t e = 0; e <= num_experts_; ++e) offsets_.push_back(e * rows_per_expert);
    ffn_.prepare(offsets_);
    x_ = x;
    rows_.reserve(x.bytes());
  }
  /// Experts work in place: without fresh rows, values would shrink from run to run.
  void refresh() { std::memcpy(rows_.data(), x_.data, static_cast<size_t>(x_.bytes())); }
  void run() { ffn_.run(offsets_, rows()); }
  MatrixView rows() { return rows_.matrix(DType::bf16, x_.rows, x_.cols); }

 private:
  int64_t num_experts_;
  ExpertFfn ffn_;
  std::vector<int64_t> offsets_;
  ConstMatrixView x_;
  Buffer rows_;
};

int64_t wrong_rows(Experts& a, Experts& b) {
  int64_t wrong = 0;
  for (int64_t row = 0; row < a.rows().rows; ++row) {
    const auto bytes = static_cast<size_t>(a.rows().row_bytes());
    wrong += std::memcmp(a.rows().row(row), b.rows().row(row), bytes) == 0 ? 0 : 1;
  }
  return wrong;
}

}  // namespace

nlohmann::ordered_json measure_packed_experts(const ExpertsOptions& options) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const int64_t ffn_size : options.ffn_sizes) {
    const FfnShape shape{options.hidden_size, ffn_size, Activation::silu};
    const Weights weights(shape);
    std::array<Experts, kForms> forms{Experts(options, shape, weights.expanded(1)),
                                      Experts(options, shape, weights.packed(0)),
                                      Experts(options, shape, weights.packed(1))};
    Experts fp8_expanded(options, shape, weights.expanded(0));
    std::printf("# hidden_size %lld, ffn_size %lld, %lld experts, SwiGLU, bf16, %d threads\n",
                static_cast<long long>(options.hidden_size), static_cast<long long>(ffn_size),
                static_cast<long long>(options.num_experts), options.threads);
    for (const int64_t rows : options.rows_per_expert) {
      const int64_t tokens = options.num_experts * rows;
      std::vector<float> values(static_cast<size_t>(tokens * options.hidden_size));
      fill_normal(derive_key(2, static_cast<uint64_t>(rows)), 0, values);
      Buffer memory(std::ssize(values) * dtype_size(DType::bf16));
      const MatrixView x = memory.matrix(DType::bf16, tokens, options.hidden_size);
      convert_from_float(values.data(), std::ssize(values), DType::bf16, x.data);
      for (Experts* each : {&forms[0], &forms[1], &forms[2], &fp8_expanded}) {
        each->prepare(rows, x);
        each->refresh();
        each->run();
      }
      const std::array<int64_t, kForms> wrong = {0, wrong_rows(forms[1], fp8_expanded),
                                                 wrong_rows(forms[2], forms[0])};
      std::vector<Timed> things;
      for (Experts& each : forms) {
        things.push_back({[&each] { each.refresh(); }, [&each] { each.run(); }});
      }
      const auto samples = time_in_turn(options.sampling, things);
      for (int form = 0; form < kForms; ++form) {
        MeasuredRow row;
        row.name = kNames[form];
        row.device = "cpu";
        row.dtype = dtype_name(DType::bf16);
        row.workload = "silu, " + std::to_string(rows) + " rows per expert";
        row.tokens_per_rank = tokens;
        row.hidden_size = options.hidden_size;
        row.ffn_size = ffn_size;
        row.num_experts = options.num_experts;
        row.top_k = 1;
        row.wrong = wrong[form];
        row.samples_us = samples[form];
        print_row(row,
                  format("%5.2f x bf16, %lld wrong", median(samples[0]) / median(samples[form]),
                         static_cast<long long>(wrong[form])));
        results.push_back(row_json(row));
        if (wrong[form] != 0) {
          throw RunError(std::string(kNames[form]) + ": " + std::to_string(wrong[form]) +
                         " rows have other bits than expanded weights give");
        }
      }
    }
  }
  return results;
}

}  // namespace hashep::bench
