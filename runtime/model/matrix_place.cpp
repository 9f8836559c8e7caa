// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/matrix_place.hpp"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "core/quote.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr std::string_view kGateUp = "gate_up_proj";  // w1 above w3

/// A tensor that may hold a matrix of an expert, [rows, cols], or [count, rows, cols] of all.
struct Candidate {
  std::string name;
  bool is_stacked = false;
  int64_t rows = 0;   // of one expert in it
  int64_t above = 0;  // of its rows, before those of the matrix
};

std::vector<Candidate> candidates_for(const FfnPlace& ffn, const FfnMatrix& matrix) {
  const auto& [name, rows, cols] = matrix;
  std::vector<Candidate> candidates = {{weight_name(ffn.name, name), false, rows, 0}};
  const bool may_be_stacked = !ffn.stack.empty();
  if (may_be_stacked) candidates.push_back({weight_name(ffn.stack, name), true, rows, 0});
  if (name == "w2") return candidates;
  const int64_t above = name == "w3" ? rows : 0;
  candidates.push_back({weight_name(ffn.name, kGateUp), false, 2 * rows, above});
  if (may_be_stacked) {
    candidates.push_back({weight_name(ffn.stack, kGateUp), true, 2 * rows, above});
  }
  return candidates;
}

/// A tensor of weights that are not quantised.
const SafeTensor& weights_at(const TensorPlace& place) {
  const auto& unreadable = place.file->contents().skipped;
  if (const auto found = unreadable.find(place.name); found != unreadable.end()) {
    throw InputError(place.text() + ": dtype " + quote(found->second.dtype) +
                     ", expected F32, F16 or BF16");
  }
  const SafeTensor& tensor = place.file->at(place.name);
  if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16) {
    throw InputError(place.text() + ": dtype " + std::string(dtype_name(tensor.dtype)) +
                     ", expected fp32, fp16 or bf16");
  }
  return tensor;
}

MatrixPlace whole(const TensorPlace& place, int64_t rows, int64_t cols) {
  const SafeTensor& tensor = weights_at(place);
  tensor.require_matrix(rows, cols, place.text());
  return {place, tensor.dtype, 0, rows, cols};
}

std::vector<int64_t> shape_of(const Candidate& candidate, const FfnPlace& ffn, int64_t rows,
                              int64_t cols) {
  if (candidate.is_stacked) return {ffn.count, rows, cols};
  return {rows, cols};
}

void require_shape(const TensorPlace& place, std::span<const int64_t> shape,
                   std::span<const int64_t> expected, const std::string& why = "") {
  if (std::equal(shape.begin(), shape.end(), expected.begin(), expected.end())) return;
  throw InputError(place.text() + ": shape " + shape_text(shape) + ", expected " +
                   shape_text(expected) + why);
}

/// What a tensor of a dtype that DType lacks is as weights; nothing where it is none.
std::optional<QuantFormat> quant_format(std::string_view dtype) {
  if (dtype == "F8_E4M3") return QuantFormat::fp8_e4m3;
  if (dtype == "I8" || dtype == "U8") return QuantFormat::fp4_e2m1;
  return std::nullopt;
}

/// The bytes of a tensor in its file, of which each element has so many.
struct TensorBytes {
  std::vector<int64_t> shape;
  int64_t offset = 0;
  int64_t bytes = 0;

  void require_element_bytes(const TensorPlace& place, int64_t size) const {
    int64_t expected = size;
    for (const int64_t length : shape) {
      if (__builtin_mul_overflow(expected, length, &expected)) expected = -1;
    }
    if (expected == bytes) return;
    throw InputError(place.text() + ": shape " + shape_text(shape) + " in " +
                     std::to_string(bytes) + " bytes");
  }
};

/// Scales as they are stored, and how.
std::pair<TensorBytes, ScaleFormat> scales_at(const TensorPlace& place) {
  const SafeTensors& contents = place.file->contents();
  if (const auto found = contents.skipped.find(place.name); found != contents.skipped.end()) {
    const SkippedTensor& tensor = found->second;
    if (tensor.dtype == "F8_E8M0") {
      return {{tensor.shape, tensor.offset, tensor.bytes}, ScaleFormat::e8m0};
    }
    throw InputError(place.text() + ": dtype " + quote(tensor.dtype) + ", expected F8_E8M0 or F32");
  }
  const SafeTensor& tensor = place.file->at(place.name);
  if (tensor.dtype == DType::f32) {
    return {{tensor.shape, tensor.offset, tensor.bytes}, ScaleFormat::f32};
  }
  throw InputError(place.text() + ": dtype " + std::string(dtype_name(tensor.dtype)) +
                   ", expected F8_E8M0 or F32");
}

MatrixPlace find_quantised(const ModelFiles& files, const Quantisation& quantisation,
                           const FfnPlace& ffn, const FfnMatrix& matrix, const Candidate& candidate,
                           const TensorPlace& place) {
  const SkippedTensor& tensor = place.file->contents().skipped.at(place.name);
  const std::optional<QuantFormat> format = quant_format(tensor.dtype);
  if (!format) {
    throw InputError(place.text() + ": dtype " + quote(tensor.dtype) +
                     ", expected F32, F16, BF16, F8_E4M3, or FP4 packed as I8");
  }
  if (!quantisation.refused.empty()) {
    throw InputError(place.text() + ": cannot be read, as " + quantisation.refused);
  }
  const std::string as = std::string(quant_format_name(*format));
  QuantisedPlace quantised;
  QuantisedView& layout = quantised.layout;
  layout.format = *format;
  layout.rows = matrix.rows;
  layout.cols = matrix.cols;
  layout.block_rows = quantisation.rows_of(*format);
  layout.block_cols = quantisation.cols_of(*format);
  if (*format == QuantFormat::fp4_e2m1 && matrix.cols % 2 != 0) {
    throw InputError(place.text() + ": " + std::to_string(matrix.cols) +
                     " inputs of FP4, which come in pairs");
  }
  require_shape(place, tensor.shape,
                shape_of(candidate, ffn, candidate.rows, layout.code_row_bytes()),
                " (of " + as + ")");
  const TensorBytes codes{tensor.shape, tensor.offset, tensor.bytes};
  codes.require_element_bytes(place, 1);

  quantised.scales = files.at(scale_name(candidate.name));
  const auto [scales, scale_format] = scales_at(quantised.scales);
  layout.scale_format = scale_format;
  if (*format == QuantFormat::fp4_e2m1 && scale_format != ScaleFormat::e8m0) {
    throw InputError(quantised.scales.text() + ": FP4 has scales of F8_E8M0");
  }
  const int64_t scale_rows = (candidate.rows + layout.block_rows - 1) / layout.block_rows;
  require_shape(quantised.scales, scales.shape,
                shape_of(candidate, ffn, scale_rows, layout.scale_cols()),
                " (blocks of " + std::to_string(layout.block_rows) + " x " +
                    std::to_string(layout.block_cols) + ")");
  scales.require_element_bytes(quantised.scales, layout.scale_bytes());
  if (candidate.above % layout.block_rows != 0) {
    throw InputError(place.text() + ": " + std::string(matrix.name) +
                     " begins within a block of scales");
  }
  const int64_t index = candidate.is_stacked ? ffn.index : 0;
  quantised.codes_at =
      codes.offset + (index * candidate.rows + candidate.above) * layout.code_row_bytes();
  quantised.scales_at = scales.offset + (index * scale_rows + candidate.above / layout.block_rows) *
                                            layout.scale_cols() * layout.scale_bytes();
  return {place, DType::f32, 0, matrix.rows, matrix.cols, std::move(quantised)};
}

std::span<std::byte> bytes_of(Buffer& memory, int64_t count) {
  memory.reserve(count);
  return {memory.data(), static_cast<size_t>(count)};
}

/// The layout with the scales that it reads into `memory`, and no codes.
QuantisedView with_scales(const QuantisedPlace& place, Buffer& memory) {
  QuantisedView view = place.layout;
  const std::span<std::byte> bytes =
      bytes_of(memory, view.scale_rows() * view.scale_cols() * view.scale_bytes());
  place.scales.file->read_bytes(place.scales_at, bytes);
  view.scales = bytes.data();
  require_finite_scales(view, place.scales.text());
  return view;
}

}  // namespace

std::string_view MatrixPlace::type_name() const {
  return quantised ? quant_format_name(quantised->layout.format) : dtype_name(dtype);
}

MatrixPlace find_matrix(const ModelFiles& files, const Quantisation& quantisation,
                        const FfnPlace& ffn, const FfnMatrix& matrix) {
  const std::vector<Candidate> candidates = candidates_for(ffn, matrix);
  std::optional<TensorPlace> found;
  const Candidate* which = nullptr;
  for (const Candidate& candidate : candidates) {
    const std::optional<TensorPlace> place = files.find(candidate.name);
    if (!place) continue;
    if (found) {
      throw InputError(found->text() + ": " + place->text() + " holds " + std::string(matrix.name) +
                       " of " + ffn.name + " too");
    }
    found = place;
    which = &candidate;
  }
  if (!found) found = files.at(candidates.front().name);  // throws
  if (found->file->contents().skipped.contains(found->name)) {
    return find_quantised(files, quantisation, ffn, matrix, *which, *found);
  }
  const SafeTensor& tensor = weights_at(*found);
  require_shape(*found, tensor.shape, shape_of(*which, ffn, which->rows, matrix.cols));
  const int64_t index = which->is_stacked ? ffn.index : 0;
  const int64_t first_row = index * which->rows + which->above;
  return {*found, tensor.dtype, first_row * matrix.cols * dtype_size(tensor.dtype), matrix.rows,
          matrix.cols};
}

std::optional<MatrixPlace> find_bias(const ModelFiles& files, const FfnPlace& ffn,
                                     const FfnMatrix& matrix) {
  const auto place = files.find(bias_name(ffn.name, matrix.name));
  if (!place) return std::nullopt;
  return whole(*place, 1, matrix.rows);
}

MatrixPlace find_gate_bias(const ModelFiles& files, const ModelConfig& config, int64_t layer) {
  return whole(files.at(gate_bias_name(layer)), 1, config.num_experts);
}

MatrixPlace find_gate(const ModelFiles& files, const ModelConfig& config, int64_t layer) {
  return whole(files.at(gate_name(layer)), config.num_experts, config.hidden_size);
}

ConstMatrixView read_matrix(const MatrixPlace& place, Buffer& memory) {
  const int64_t count = place.rows * place.cols * dtype_size(place.dtype);
  const SafeTensorsFile& file = *place.tensor.file;
  file.read(file.at(place.tensor.name), place.first_byte, bytes_of(memory, count));
  return memory.matrix(place.dtype, place.rows, place.cols);
}

QuantisedView read_quantised(const MatrixPlace& place, Buffer& codes, Buffer& scales) {
  QuantisedView view = with_scales(*place.quantised, scales);
  const std::span<std::byte> bytes = bytes_of(codes, view.rows * view.code_row_bytes());
  place.tensor.file->read_bytes(place.quantised->codes_at, bytes);
  view.codes = bytes.data();
  require_finite_codes(view, place.tensor.text());
  return view;
}

MatrixRows::MatrixRows(const MatrixPlace& place) : place_(place), dtype_(place.dtype) {
  if (place.quantised) dtype_ = exact_dtype(with_scales(*place.quantised, scales_));
}

void MatrixRows::read(int64_t row, std::span<std::byte> out) const {
  if (!place_.quantised) {
    const SafeTensorsFile& file = *place_.tensor.file;
    file.read(file.at(place_.tensor.name),
              place_.first_byte + row * place_.cols * dtype_size(dtype_), out);
    return;
  }
  QuantisedView view = place_.quantised->layout;
  Buffer codes;
  const std::span<std::byte> bytes = bytes_of(codes, view.code_row_bytes());
  place_.tensor.file->read_bytes(place_.quantised->codes_at + row * view.code_row_bytes(), bytes);
  view.codes = bytes.data();
  view.scales = scales_.data() + row / view.block_rows * view.scale_cols() * view.scale_bytes();
  view.rows = 1;
  Buffer whole_row;
  const int64_t count = view.cols * dtype_size(dtype_);
  dequantise(view, 0, 1, dtype_, bytes_of(whole_row, count).data());
  std::copy_n(whole_row.data(), out.size(), out.data());
}

}  // namespace hashep
