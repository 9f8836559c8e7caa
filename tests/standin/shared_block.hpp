// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace hashep::test::standin {

/// Memory that other processes can map, between guard pages.
class SharedBlock {
 public:
  /// What another process needs to find it.
  struct Name {
    pid_t process = 0;
    int file = -1;  // there
    ino_t inode = 0;
    int64_t bytes = 0;
  };

  /// Whole pages. Null where there is not so much memory.
  static std::unique_ptr<SharedBlock> make(int64_t bytes);
  /// Null where it is gone or this process may not have it.
  static std::unique_ptr<SharedBlock> open(const Name& name);
  ~SharedBlock();
  SharedBlock(const SharedBlock&) = delete;
  SharedBlock& operator=(const SharedBlock&) = delete;

  std::byte* data() const { return data_; }
  const Name& name() const { return name_; }
  /// In how many other processes it is mapped now.
  int mappings() const { return mappings_->load(); }

 private:
  SharedBlock() = default;
  bool map(int file);

  Name name_;
  bool is_owner_ = false;
  bool is_counted_ = false;
  std::byte* reserved_ = nullptr;
  std::byte* data_ = nullptr;
  std::atomic<int>* mappings_ = nullptr;  // in a page of its own, which all share
};

}  // namespace hashep::test::standin
