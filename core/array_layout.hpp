// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hashep {

/// Lays arrays one after the other, to be filled in host memory and copied to a GPU in one piece.
/// Walked twice alike: first without memory, which only measures, then with it.
class ArrayLayout {
 public:
  ArrayLayout() = default;
  /// `host` and `device` hold as many bytes as were measured.
  ArrayLayout(std::byte* host, std::byte* device) : host_(host), device_(device) {}

  /// The next array holds `values`; returns it as the GPU will see it.
  template <typename T>
  std::span<const T> add(std::span<const T> values) {
    std::span<const T> there;
    const std::span<T> here = make<T>(std::ssize(values), there);
    if (is_real()) std::copy(values.begin(), values.end(), here.begin());
    return there;
  }
  template <typename T>
  std::span<const T> add(const std::vector<T>& values) {
    return add(std::span<const T>(values));
  }

  /// The same, with `rest` behind the values, `count` in all.
  template <typename T>
  std::span<const T> add_padded(std::span<const T> values, int64_t count, T rest) {
    std::span<const T> there;
    const std::span<T> here = make<T>(count, there);
    if (!is_real()) return there;
    std::fill(std::copy(values.begin(), values.end(), here.begin()), here.end(), rest);
    return there;
  }

  /// The next array, to be filled in host memory: not where this only measures.
  template <typename T>
  std::span<T> make(int64_t count, std::span<const T>& there) {
    there = {reinterpret_cast<const T*>(device_ + bytes_), static_cast<size_t>(count)};
    const std::span<T> here(reinterpret_cast<T*>(host_ + bytes_), static_cast<size_t>(count));
    const int64_t size = count * static_cast<int64_t>(sizeof(T));
    bytes_ += (size + kAlignment - 1) / kAlignment * kAlignment;
    return here;
  }

  bool is_real() const { return host_ != nullptr; }
  int64_t bytes() const { return bytes_; }

 private:
  static constexpr int64_t kAlignment = 256;  // bytes: each array begins on a sector of its own

  std::byte* host_ = nullptr;
  std::byte* device_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace hashep
