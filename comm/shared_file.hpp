// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "core/atomic_file.hpp"
#include "hashep/node_map.hpp"

namespace hashep {

/// A file that all ranks write parts of, and that appears whole or not at all: rank 0 makes it
/// beside its place, all ranks write into it, and rank 0 renames it when all of it is on disk.
/// Without commit() nothing is left behind. On one node the file has no name until then, so that
/// even killed ranks leave nothing; on several nodes it has a temporary one, which every rank that
/// still runs takes away. All ranks pass the same `path`, in a file system that they share.
class SharedFile {
 public:
  /// Throws CollectiveInputError where the place cannot be written to, and where a rank does not
  /// see the file that rank 0 made, which names that rank and its host. What is passed must outlive
  /// this. Collective.
  SharedFile(const Communicator& comm, const NodeMap& nodes, Watch& watch, const std::string& path);
  ~SharedFile();
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  /// Writes this rank's `part` at `offset`; parts may be of any sizes, also of none. Ranks write
  /// kTurnBytes each and meet, and so on: as long as each turn takes less than the deadline, the
  /// whole may take any time. Throws CollectiveRunError. Collective.
  void write(std::span<const std::byte> part, int64_t offset);

  /// Flushes, and renames over `path`. Throws CollectiveRunError. Collective.
  void commit();

  static constexpr int64_t kTurnBytes = int64_t{16} << 20;

 private:
  /// Opens rank 0's file without a name. False on all ranks where one cannot.
  bool open_unnamed();
  void open_by_name();
  /// Starts bringing a range to disk, and waits for the one started last.
  void flush(int64_t offset, int64_t size);
  int descriptor() const { return own_ ? own_->descriptor() : descriptor_; }

  const Communicator& comm_;
  Watch& watch_;
  std::string path_;
  std::optional<AtomicFile> own_;  // on rank 0
  int descriptor_ = -1;            // on the others
  std::string temporary_path_;     // on the others: to be taken away; empty: none
  int64_t flushing_offset_ = 0;
  int64_t flushing_size_ = 0;
};

}  // namespace hashep
