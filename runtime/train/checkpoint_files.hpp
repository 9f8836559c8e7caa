// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/safetensors.hpp"
#include "hashep/tensor_view.hpp"

/// \file
/// The files of a checkpoint, and the folder that checkpoints stand in. No MPI: what one rank does.

namespace hashep {

/// A tensor of fp32 values in host memory.
struct CheckpointTensor {
  std::string name;
  std::vector<int64_t> shape;
  MatrixView values;
};

/// A file as it was written.
struct CheckpointFile {
  std::string name;
  int64_t bytes = 0;
  uint64_t digest = 0;  // XXH64 of all its bytes

  bool operator==(const CheckpointFile&) const = default;
};

/// What state.json says.
struct CheckpointState {
  int64_t steps = 0;
  int64_t ep_size = 0;  // that wrote it
  std::string version;  // of HashEP
  std::string routing;  // what must be alike where training goes on
  std::string program;  // a JSON object, as text
  std::vector<CheckpointFile> files;
};

/// Writes the tensors to folder/name. Throws as AtomicFile does.
CheckpointFile write_checkpoint_tensors(const std::string& folder, const std::string& name,
                                        std::span<const CheckpointTensor> tensors);
/// The file as it is. Throws InputError where it cannot be read.
CheckpointFile read_checkpoint_file(const std::string& folder, const std::string& name);
/// Throws InputError, naming the file, where it is another one than `file`.
void require_checkpoint_file(const std::string& folder, const CheckpointFile& file);

/// Writes state.json, as the last file of a checkpoint.
void write_checkpoint_state(const std::string& folder, const CheckpointState& state);
/// Throws InputError naming file and key where something is missing or is not what it must be.
CheckpointState read_checkpoint_state(const std::string& folder);

/// The tensors of a checkpoint's safetensors files, by name.
class CheckpointTensors {
 public:
  CheckpointTensors(const std::string& folder, const CheckpointState& state);
  /// Fills tensor.values. Throws InputError where it is missing, or of another shape or dtype.
  void read(const CheckpointTensor& tensor) const;

 private:
  std::string folder_;
  std::vector<SafeTensorsFile> files_;
  std::map<std::string, size_t> places_;  // into files_
};

/// The folder that checkpoints stand in, as one job writes a checkpoint to it.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::string path) : path_(std::move(path)) {}
  ~CheckpointFolder();
  CheckpointFolder(const CheckpointFolder&) = delete;
  CheckpointFolder& operator=(const CheckpointFolder&) = delete;

  /// Where the files of step N are written before it is there.
  std::string temporary(int64_t steps) const;

  // On one rank:

  /// Makes the folder where there is none, locks it until this object goes, and makes the temporary
  /// folder, without what a killed job has left. Throws InputError.
  void begin(int64_t steps);
  /// Renames it to step-N, points `latest` to that, and removes all but the newest `keep_last`
  /// checkpoints up to step N. Throws RunError.
  void commit(int64_t steps, int keep_last);
  /// Removes what was begun, where it was.
  void abandon() noexcept;

 private:
  void remove(int64_t steps) const;
  void remove_old(int64_t steps, int keep_last) const;

  std::string path_;
  std::string begun_;  // the temporary folder
  int lock_ = -1;
};

/// The checkpoint that `path` means: itself, or the latest one in it. Throws InputError where there
/// is none.
std::string find_checkpoint(const std::string& path);

}  // namespace hashep
