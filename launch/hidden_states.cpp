// SPDX-License-Identifier: Apache-2.0
#include "launch/hidden_states.hpp"

#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "core/narrow.hpp"
#include "core/random.hpp"
#include "core/safetensors.hpp"

namespace hashep {
namespace {

constexpr const char* kTensorName = "hidden_states";
constexpr int64_t kChunkBytes = int64_t{64} << 20;  // of one message to rank 0

/// Calls body(first, count) for chunks of at most kChunkBytes of `rows` rows.
template <typename Body>
void for_each_chunk(int64_t rows, int64_t row_bytes, Body&& body) {
  const int64_t step = std::max<int64_t>(1, kChunkBytes / std::max<int64_t>(1, row_bytes));
  for (int64_t first = 0; first < rows; first += step) body(first, std::min(step, rows - first));
}

void send_rows(const Communicator& comm, Watch& watch, ConstMatrixView x) {
  for_each_chunk(x.rows, x.row_bytes(), [&](int64_t first, int64_t count) {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(x.row(first), narrow<int>(count * x.row_bytes(), "bytes of a chunk"),
                        MPI_BYTE, 0, 0, comm.get(), &request),
              "MPI_Isend");
    watch.wait(request);
  });
}

void receive_rows(const Communicator& comm, Watch& watch, int source, int64_t rows,
                  int64_t row_bytes, AtomicFile& file) {
  std::vector<std::byte> chunk;
  for_each_chunk(rows, row_bytes, [&](int64_t, int64_t count) {
    chunk.resize(static_cast<size_t>(count * row_bytes));
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Irecv(chunk.data(), narrow<int>(count * row_bytes, "bytes of a chunk"), MPI_BYTE,
                        source, 0, comm.get(), &request),
              "MPI_Irecv");
    watch.wait(request);
    file.write(chunk);
  });
}

}  // namespace

void load_hidden_states(const std::string& path, int64_t batch_tokens, Range rows, MatrixView out) {
  const SafeTensorsFile file(path);
  const SafeTensor& states = file.at(kTensorName);
  states.require_matrix(batch_tokens, out.cols, path + ": " + kTensorName);
  const int64_t row_bytes = out.cols * dtype_size(states.dtype);
  std::vector<std::byte> stored(static_cast<size_t>(row_bytes));
  std::vector<float> row(static_cast<size_t>(out.cols));
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
  std::vector<std::byte> row(static_cast<size_t>(std::min(kBytes, row_bytes)));
  const int64_t count = std::min(kRows, rows);
  for (int64_t i = 0; i < count; ++i) {
    file.read(states, i * rows / count * row_bytes, row);
    digest = XXH64(row.data(), row.size(), digest);
  }
  return digest;
}

void make_hidden_states(uint64_t seed, Range rows, MatrixView out) {
  constexpr uint64_t kStreamTag = 0x68696464656e;  // "hidden": apart from weights of the same seed
  std::vector<float> row(static_cast<size_t>(out.cols));
  for (int64_t i = 0; i < rows.size(); ++i) {
    fill_normal(derive_key(seed, kStreamTag), (rows.begin + i) * out.cols, row);
    convert_from_float(row.data(), out.cols, out.dtype, out.row(i));
  }
}

void write_hidden_states(const Communicator& comm, Watch& watch, int64_t batch_tokens,
                         ConstMatrixView x, AtomicFile* file) {
  if (comm.rank() != 0) {
    send_rows(comm, watch, x);
    return;
  }
  const std::vector<SafeTensorSpec> specs = {{kTensorName, x.dtype, {batch_tokens, x.cols}}};
  file->write(safetensors_header(specs, {{"producer", "hashep run"}}));
  file->write(std::span(x.data, static_cast<size_t>(x.bytes())));
  for (int source = 1; source < comm.size(); ++source) {
    const Range rows = split_range(batch_tokens, comm.size(), source);
    receive_rows(comm, watch, source, rows.size(), x.row_bytes(), *file);
  }
  file->commit();
}

}  // namespace hashep
