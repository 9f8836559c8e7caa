// SPDX-License-Identifier: Apache-2.0
// A small stack that is trained, as a program does it.
#pragma once

#include <hashep/hashep.hpp>
#include <map>
#include <string>
#include <vector>

namespace hashep::test {

inline constexpr int64_t kVocabulary = 300;
inline constexpr int64_t kBlock = 8;    // a gradient block
inline constexpr int64_t kTokens = 83;  // of the global batch
inline constexpr int64_t kHiddenSize = 24;

/// Rows of a global batch, rounded to `dtype`.
std::vector<std::byte> rows(DType dtype, int64_t begin, int64_t end, int64_t seed);
MatrixView view(std::vector<std::byte>& bytes, DType dtype);

/// A rank's part of the global batch, cut at gradient blocks; every second rank has none.
struct Part {
  int64_t begin = 0;
  int64_t end = 0;
  std::vector<int32_t> ids;

  Part(int64_t rank, int64_t size);
  TokenBatch tokens() const { return {.ids = ids, .seq_len = 16, .first_position = begin}; }
};

using Parameters = std::map<std::string, std::vector<float>>;

std::vector<float> values_of(ConstMatrixView matrix);
std::string name_of(const Parameter& parameter);

/// What is trained, and how.
struct Training {
  StackShape shape;
  DType dtype = DType::f32;
  TrainingOptions options{.gradient_block = kBlock};
  AdamWOptions adamw = {};
  int steps = 3;
};

/// A hash router where layers are routed ahead, else null.
std::shared_ptr<const Router> router_for(const StackShape& shape);
Stack make_stack(const Context& context, const Training& training);

/// Everything that training leaves on a rank.
struct Trained {
  Parameters parameters;  // and moments
  std::vector<double> norms;
  std::vector<GateLosses> losses;  // with a gate, of each batch
  std::vector<std::byte> y, dx;    // of the last one
};

/// Steps of two batches each.
Trained train(const Context& context, const Training& training);

}  // namespace hashep::test
