// SPDX-License-Identifier: Apache-2.0
// Files and streams for the routing tests, written byte by byte so that the readers are not tested
// against our own writers.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "runtime/tokens/token_stream.hpp"

namespace hashep::test {

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A .npy file, format 1.0; `descr` such as "<i4", `shape` such as "(3, 2)". The header is padded
/// so that the data begin `misalignment` bytes after a multiple of 64.
inline std::string npy_bytes(const std::string& descr, const std::string& shape,
                             const std::string& data, size_t misalignment = 0) {
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + "}";
  header.resize(128 - 10 - 1 + misalignment, ' ');
  header += '\n';
  const auto size = static_cast<uint16_t>(header.size());
  return std::string("\x93NUMPY\x01\x00", 8) + bytes_of(std::vector<uint16_t>{size}) + header +
         data;
}

/// A .safetensors file; `json` without padding.
inline std::string safetensors_bytes(const std::string& json, const std::string& data) {
  return bytes_of(std::vector<uint64_t>{json.size()}) + json + data;
}

/// Ids in memory, repeated without end.
class VectorStream final : public TokenStream {
 public:
  explicit VectorStream(std::vector<int32_t> ids) : ids_(std::move(ids)) {}

  void read(int64_t first, std::span<int32_t> out) const override {
    for (int32_t& id : out) id = ids_[first++ % std::ssize(ids_)];
  }
  std::optional<int64_t> size() const override { return std::ssize(ids_); }

 private:
  std::vector<int32_t> ids_;
};

}  // namespace hashep::test
