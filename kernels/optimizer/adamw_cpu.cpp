// SPDX-License-Identifier: Apache-2.0
// HASHEP_EACH_VECTOR_WIDTH: see row_sums_cpu.cpp.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/optimizer/adamw.hpp"
#include "kernels/parallel.hpp"

namespace hashep {
namespace {

constexpr int64_t kValuesPerThread = 16384;
constexpr int64_t kSquaresBlock = 65536;  // summed by themselves, each by one thread

// Numbers below the normal ones are some fifty times slower, and an expert that has had no tokens
// for long has such moments in all its parameters.
constexpr float kLeastGradient = 1e-17f;
constexpr float kLeastMoment = 1e-30f;
constexpr float kLeastSquare = 1e-36f;

float or_zero(float value, float least) {
  return value < least && value > -least ? 0.0f : value;
}

HASHEP_EACH_VECTOR_WIDTH
void update_values(const AdamWStep& step, int64_t count, float* __restrict values,
                   float* __restrict gradients, float* __restrict first, float* __restrict second) {
  const float kept = 1.0f - step.learning_rate * step.weight_decay;
  const float rate = step.learning_rate / step.correction1;
  const float new1 = 1.0f - step.beta1;
  const float new2 = 1.0f - step.beta2;
  const float root = step.root_correction2;
  const float beta1 = step.beta1;
  const float beta2 = step.beta2;
  const float scale = step.scale;
  const float epsilon = step.epsilon;
  for (int64_t i = 0; i < count; ++i) {
    const float gradient = or_zero(scale * gradients[i], kLeastGradient);
    gradients[i] = 0.0f;
    first[i] = or_zero(beta1 * first[i] + new1 * gradient, kLeastMoment);
    second[i] = or_zero(beta2 * second[i] + new2 * (gradient * gradient), kLeastSquare);
    const float size = std::sqrt(second[i]) / root + epsilon;
    values[i] = values[i] * kept - rate * (first[i] / size);
  }
}

HASHEP_EACH_VECTOR_WIDTH
double squares_of_block(const float* __restrict values, int64_t count) {
  constexpr int64_t kLanes = 16;  // part of the result's bits, so never the machine's
  std::array<double, kLanes> sums{};
  const int64_t whole = count - count % kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const auto value = static_cast<double>(values[i + lane]);
      sums[lane] += value * value;
    }
  }
  for (int64_t i = whole; i < count; ++i) {
    sums[i - whole] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  double sum = 0.0;
  for (const double lane : sums) sum += lane;
  return sum;
}

}  // namespace

void adamw_update(const AdamWStep& step, const AdamWArrays& arrays, int threads) {
  parallel_ranges(arrays.count, threads, kValuesPerThread, [&](int64_t begin, int64_t end) {
    update_values(step, end - begin, arrays.values + begin, arrays.gradients + begin,
                  arrays.first_moments + begin, arrays.second_moments + begin);
  });
}

double sum_of_squares(const float* values, int64_t count, int threads) {
  const int64_t blocks = (count + kSquaresBlock - 1) / kSquaresBlock;
  double sum = 0.0;
  if (threads == 1 || blocks == 1) {
    for (int64_t begin = 0; begin < count; begin += kSquaresBlock) {
      sum += squares_of_block(values + begin, std::min(kSquaresBlock, count - begin));
    }
    return sum;
  }
  std::vector<double> sums(static_cast<size_t>(blocks));
  parallel_items(blocks, threads, [&](int, int64_t block) {
    const int64_t begin = block * kSquaresBlock;
    sums[block] = squares_of_block(values + begin, std::min(kSquaresBlock, count - begin));
  });
  for (const double each : sums) sum += each;
  return sum;
}

}  // namespace hashep
