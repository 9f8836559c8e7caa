// SPDX-License-Identifier: Apache-2.0
#include "launch/hidden_states.hpp"

#include <xxhash.h>
#include <span>

#include <algorithm>
#include <vector>

#include "core/random.hpp"
#include "core/safetensors.hpp"

namespace hashep {
namespace {

constexpr const char* kTensorName = "hidden_states";

}  // namespace

void load_hidden_states(const std::string& path, int64_t batch_tokens, Range rows, MatrixView out) {
  const SafeTensorsFile file(path);
  const SafeTensor& states = file.at(kTensorName);
  states.require_matrix(batch_tokens, out.cols, path + ": " + kTensorName);
  const int64_t row_bytes = out.cols * dtype_size(states.dtype);
  std::vector<std::byte> stored(row_bytes);
  std::vector<float> row(out.cols);
  for (int64_t i = 0; i < rows.size(); ++i) {
    file.read(states, (rows.begin + i) * row_bytes, stored);
    convert_to_float(states.dtype, stored.data(), out.cols, row.data());
    convert_from_float(row.data(), out.cols, out.dtype, out.row(i));
  }
}

uint64_t hidden_states_digest(const std::string& path) {
  constexpr int64_t kRows = 256;
  constexpr int64_t kBytes = 4096;
  const SafeTensorsFile file(path);
  const SafeTensor& states = file.at(kTensorName);
  const int64_t rows = states.shape.front();
  const int64_t row_bytes = rows == 0 ? 0 : states.bytes / rows;
  uint64_t digest = XXH64(states.shape.data(), states.shape.size() * sizeof(int64_t), 0);
  std::vector<std::byte> row(std::min(kBytes, row_bytes));
  const int64_t count = std::min(kRows, rows);
  for (int64_t i = 0; i < count; ++i) {
    file.read(states, i * rows / count * row_bytes, row);
    digest = XXH64(row.data(), row.size(), digest);
  }
  return digest;
}

void make_hidden_states(uint64_t seed, Range rows, MatrixView out) {
  constexpr uint64_t kStreamTag = 0x68696464656e;  // "hidden": apart from weights of the same seed
  std::vector<float> row(out.cols);
  for (int64_t i = 0; i < rows.size(); ++i) {
    fill_normal(derive_key(seed, kStreamTag), (rows.begin + i) * out.cols, row);
    convert_from_float(row.data(), out.cols, out.dtype, out.row(i));
  }
}

void write_hidden_states(const Communicator& comm, int64_t batch_tokens, ConstMatrixView x,
                         SharedFile& file) {
  const std::vector<SafeTensorSpec> specs = {{kTensorName, x.dtype, {batch_tokens, x.cols}}};
  const std::string header = safetensors_header(specs, {{"producer", "hashep run"}});
  const auto bytes = std::as_bytes(std::span(header));
  file.write(comm.rank() == 0 ? bytes : bytes.first(0), 0);
  const Range rows = split_range(batch_tokens, comm.size(), comm.rank());
  file.write({x.data, static_cast<size_t>(x.bytes())},
             std::ssize(header) + rows.begin * x.cols * dtype_size(x.dtype));
  file.commit();
}

}  // namespace hashep
