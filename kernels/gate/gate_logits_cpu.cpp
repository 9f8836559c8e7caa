// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "kernels/gate/gate_logits.hpp"
#include "kernels/parallel.hpp"
#include "kernels/require.hpp"
#include "kernels/rows/ordered_product.hpp"

namespace hashep {
namespace {

constexpr int64_t kColumnGranule = 32;  // what ordered_product takes at once
constexpr int64_t kRowsOfPass = 32;     // tokens that a thread takes at once
constexpr int64_t kExpertsPerThread = 4;

const float* floats_of(const Buffer& buffer) {
  return reinterpret_cast<const float*>(buffer.data());
}
float* floats_of(Buffer& buffer) {
  return reinterpret_cast<float*>(buffer.data());
}

/// Calls body(first, count, room) for passes of tokens; room: floats that a thread has for one.
template <typename Body>
void for_each_pass(int64_t tokens, int threads, int64_t floats, const Body& body) {
  parallel_ranges(tokens, threads, kRowsOfPass, [&](int64_t begin, int64_t end) {
    std::vector<float> room(static_cast<size_t>(floats));
    for (int64_t first = begin; first < end; first += kRowsOfPass) {
      body(first, std::min(kRowsOfPass, end - first), room.data());
    }
  });
}

/// Some rows as fp32: themselves, or converted into `room`.
const float* rows_as_floats(ConstMatrixView x, int64_t first, int64_t count, float* room) {
  if (x.dtype == DType::f32) return x.row_as<float>(first);
  convert_to_float(x.dtype, x.row(first), count * x.cols, room);
  return room;
}

}  // namespace

GateLogits::GateLogits(int64_t num_experts, int64_t hidden_size)
    : num_experts_(num_experts),
      hidden_size_(hidden_size),
      stride_((num_experts + kColumnGranule - 1) / kColumnGranule * kColumnGranule),
      columns_(stride_ * hidden_size * dtype_size(DType::f32)) {
  std::fill_n(columns_.data(), columns_.capacity(), std::byte{0});
}

void GateLogits::pack(ConstMatrixView gate) {
  require(gate.rows == num_experts_ && gate.cols == hidden_size_ && gate.dtype == DType::f32,
          "a gate of another shape");
  float* const columns = floats_of(columns_);
  for (int64_t e = 0; e < num_experts_; ++e) {
    const float* const row = gate.row_as<float>(e);
    for (int64_t i = 0; i < hidden_size_; ++i) columns[i * stride_ + e] = row[i];
  }
}

void GateLogits::run(ConstMatrixView x, MatrixView logits, int threads) const {
  require(x.cols == hidden_size_ && logits.rows == x.rows && logits.cols == num_experts_ &&
              logits.dtype == DType::f32,
          "logits of another shape");
  const int64_t of_logits = kRowsOfPass * stride_;
  for_each_pass(x.rows, threads, of_logits + kRowsOfPass * hidden_size_,
                [&](int64_t first, int64_t count, float* room) {
                  ordered_product({.a = rows_as_floats(x, first, count, room + of_logits),
                                   .a_row = hidden_size_,
                                   .b = floats_of(columns_),
                                   .b_row = stride_,
                                   .c = room,
                                   .c_row = stride_,
                                   .rows = count,
                                   .terms = hidden_size_,
                                   .cols = stride_});
                  for (int64_t i = 0; i < count; ++i) {
                    std::copy_n(room + i * stride_, num_experts_, logits.row_as<float>(first + i));
                  }
                });
}

void add_logit_input_gradients(ConstMatrixView gate, ConstMatrixView logit_gradients, MatrixView dx,
                               int threads) {
  require(
      logit_gradients.rows == dx.rows && logit_gradients.cols == gate.rows && gate.cols == dx.cols,
      "gradients of logits of another shape");
  for_each_pass(dx.rows, threads, kRowsOfPass * dx.cols,
                [&](int64_t first, int64_t count, float* room) {
                  convert_to_float(dx.dtype, dx.row(first), count * dx.cols, room);
                  ordered_product({.a = logit_gradients.row_as<float>(first),
                                   .a_row = gate.rows,
                                   .b = gate.row_as<float>(0),
                                   .b_row = gate.cols,
                                   .c = room,
                                   .c_row = dx.cols,
                                   .rows = count,
                                   .terms = gate.rows,
                                   .cols = dx.cols,
                                   .adds = true});
                  convert_from_float(room, count * dx.cols, dx.dtype, dx.row(first));
                });
}

void make_gate_gradient(ConstMatrixView logit_gradients, ConstMatrixView x, Buffer& scratch,
                        MatrixView gradient, int threads) {
  require(logit_gradients.rows == x.rows && gradient.rows == logit_gradients.cols &&
              gradient.cols == x.cols,
          "a gradient of a gate of another shape");
  if (x.dtype != DType::f32) scratch.reserve(x.rows * x.cols * dtype_size(DType::f32));
  const float* const rows =
      x.rows == 0 ? nullptr : rows_as_floats(x, 0, x.rows, floats_of(scratch));
  parallel_ranges(gradient.rows, threads, kExpertsPerThread, [&](int64_t begin, int64_t end) {
    ordered_product({.a = logit_gradients.row_as<float>(0) + begin,
                     .a_row = 1,
                     .a_col = gradient.rows,
                     .b = rows,
                     .b_row = x.cols,
                     .c = gradient.row_as<float>(begin),
                     .c_row = gradient.cols,
                     .rows = end - begin,
                     .terms = x.rows,
                     .cols = x.cols});
  });
}

}  // namespace hashep
