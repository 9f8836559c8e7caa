// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

namespace hashep::test::standin {

/// Owns what handles point to, in the order of its making, so that a handle that is no longer (or
/// never was) one is met with an error.
template <typename T>
class Table {
 public:
  T* add(std::unique_ptr<T> object) { return objects_.emplace_back(std::move(object)).get(); }
  /// Null where the handle is none.
  T* find(const void* handle) const {
    const auto found = position(handle);
    return found == objects_.end() ? nullptr : found->get();
  }
  /// False where the handle is none.
  bool remove(const void* handle) {
    const auto found = position(handle);
    if (found == objects_.end()) return false;
    objects_.erase(found);
    return true;
  }
  const std::vector<std::unique_ptr<T>>& all() const { return objects_; }
  std::vector<std::unique_ptr<T>>& all() { return objects_; }

 private:
  auto position(const void* handle) const {
    return std::find_if(objects_.begin(), objects_.end(),
                        [handle](const auto& object) { return object.get() == handle; });
  }

  std::vector<std::unique_ptr<T>> objects_;
};

}  // namespace hashep::test::standin
