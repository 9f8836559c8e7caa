// SPDX-License-Identifier: Apache-2.0
#include "runtime/train/checkpoint_files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/atomic_file.hpp"
#include "core/quote.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kStateName = "state.json";
constexpr std::string_view kLatestName = "latest";
constexpr std::string_view kStepPrefix = "step-";
constexpr int kFormat = 1;

std::string in(const std::string& folder, std::string_view name) {
  return (fs::path(folder) / name).string();
}

std::string last_error() {
  return std::strerror(errno);
}

/// XXH64 of bytes that come in parts.
class Digest {
 public:
  Digest() : state_(XXH64_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH64_reset(state_.get(), 0);
  }
  void add(std::span<const std::byte> bytes) {
    if (!bytes.empty()) XXH64_update(state_.get(), bytes.data(), bytes.size());
  }
  uint64_t value() const { return XXH64_digest(state_.get()); }

 private:
  struct Free {
    void operator()(XXH64_state_t* state) const { XXH64_freeState(state); }
  };
  std::unique_ptr<XXH64_state_t, Free> state_;
};

std::string hex_text(uint64_t value) {
  std::array<char, 16> text{};
  text.fill('0');
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  const auto count = end - digits.data();
  std::copy_n(digits.data(), count, text.data() + text.size() - count);
  return {text.data(), text.size()};
}

std::optional<uint64_t> hex_value(const json& value) {
  if (!value.is_string()) return std::nullopt;
  const std::string text = value.get<std::string>();
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  const bool is_whole = error == std::errc{} && end == text.data() + text.size();
  return is_whole && !text.empty() ? std::optional(number) : std::nullopt;
}

/// N of "step-N"; nothing for other names.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kStepPrefix)) return std::nullopt;
  int64_t step = -1;
  const char* const first = name.data() + kStepPrefix.size();
  const char* const last = name.data() + name.size();
  const auto [end, error] = std::from_chars(first, last, step);
  const bool is_whole = error == std::errc{} && end == last && step >= 0;
  return is_whole && *first != '+' ? std::optional(step) : std::nullopt;
}

std::string step_name(int64_t steps) {
  return std::string(kStepPrefix) + std::to_string(steps);
}

/// The folder's own entries reach the disk. Where the file system cannot, what it can.
void sync_folder(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

void remove_folder(const std::string& path) noexcept {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

}  // namespace

CheckpointFile write_checkpoint_tensors(const std::string& folder, const std::string& name,
                                        std::span<const CheckpointTensor> tensors) {
  std::vector<SafeTensorSpec> specs;
  for (const CheckpointTensor& tensor : tensors) {
    specs.push_back({tensor.name, DType::f32, tensor.shape});
  }
  AtomicFile file(in(folder, name));
  Digest digest;
  CheckpointFile written{.name = name};
  const auto write = [&](std::span<const std::byte> bytes) {
    file.write(bytes);
    digest.add(bytes);
    written.bytes += std::ssize(bytes);
  };
  const std::string header = safetensors_header(specs, {});
  write(std::as_bytes(std::span(header)));
  for (const CheckpointTensor& tensor : tensors) {
    write({tensor.values.data, static_cast<size_t>(tensor.values.bytes())});
  }
  file.commit();
  written.digest = digest.value();
  return written;
}

CheckpointFile read_checkpoint_file(const std::string& folder, const std::string& name) {
  constexpr int64_t kChunk = int64_t{4} << 20;
  const InputFile file(in(folder, name));
  Digest digest;
  std::vector<std::byte> chunk(std::min(kChunk, file.size()));
  for (int64_t done = 0; done < file.size(); done += std::ssize(chunk)) {
    chunk.resize(std::min(kChunk, file.size() - done));
    file.read(done, chunk);
    digest.add(chunk);
  }
  return {name, file.size(), digest.value()};
}

void require_checkpoint_file(const std::string& folder, const CheckpointFile& file) {
  const CheckpointFile found = read_checkpoint_file(folder, file.name);
  if (found == file) return;
  const std::string what =
      found.bytes == file.bytes
          ? "digest " + hex_text(found.digest) + ", written was " + hex_text(file.digest)
          : std::to_string(found.bytes) + " bytes, written were " + std::to_string(file.bytes);
  throw InputError(in(folder, file.name) + ": not as it was written: " + what);
}

void write_checkpoint_state(const std::string& folder, const CheckpointState& state) {
  nlohmann::ordered_json root;
  root["format"] = kFormat;
  root["step"] = state.steps;
  root["version"] = state.version;
  root["ep_size"] = state.ep_size;
  root["routing"] = state.routing;
  root["program"] = nlohmann::ordered_json::parse(state.program);
  root["files"] = nlohmann::ordered_json::array();
  for (const CheckpointFile& file : state.files) {
    root["files"].push_back(
        {{"name", file.name}, {"bytes", file.bytes}, {"xxh64", hex_text(file.digest)}});
  }
  write_file_atomically(in(folder, kStateName), root.dump(1) + "\n");
}

CheckpointState read_checkpoint_state(const std::string& folder) {
  const std::string path = in(folder, kStateName);
  const json root = read_json_object(path);
  const auto fail = [&](const std::string& what) { throw InputError(path + ": " + what); };
  const auto at = [&](const json& object, const char* key) -> const json& {
    const auto found = object.find(key);
    if (found == object.end()) fail(std::string(key) + ": missing");
    return *found;
  };
  const auto number = [&](const json& object, const char* key) {
    const std::optional<int64_t> value = whole_number(at(object, key));
    if (!value || *value < 0) fail(std::string(key) + ": not a number that is not negative");
    return *value;
  };
  const auto text = [&](const json& object, const char* key) {
    if (!at(object, key).is_string()) fail(std::string(key) + ": not a string");
    return at(object, key).get<std::string>();
  };
  if (number(root, "format") != kFormat) fail("format: one that this version does not know");
  CheckpointState state{.steps = number(root, "step"),
                        .ep_size = number(root, "ep_size"),
                        .version = text(root, "version"),
                        .routing = text(root, "routing"),
                        .program = at(root, "program").dump(),
                        .files = {}};
  if (!at(root, "files").is_array()) fail("files: not an array");
  for (const json& file : at(root, "files")) {
    if (!file.is_object()) fail("files: one is not an object");
    const std::string name = text(file, "name");
    // As of an index: a checkpoint must not reach files outside.
    if (name.empty() || name == "." || name == ".." ||
        name.find_first_of(std::string_view("/\0", 2)) != name.npos) {
      fail("files: " + quote(name) + " is not the name of a file in the folder");
    }
    const std::optional<uint64_t> digest = hex_value(at(file, "xxh64"));
    if (!digest) fail("files: " + quote(name) + ": xxh64 is not a hexadecimal number");
    state.files.push_back({name, number(file, "bytes"), *digest});
  }
  return state;
}

CheckpointTensors::CheckpointTensors(const std::string& folder, const CheckpointState& state)
    : folder_(folder) {
  for (const CheckpointFile& file : state.files) {
    if (!file.name.ends_with(".safetensors")) continue;
    const SafeTensorsFile& opened = files_.emplace_back(in(folder, file.name));
    for (const auto& [name, tensor] : opened.contents().tensors) {
      if (places_.try_emplace(name, files_.size() - 1).second) continue;
      throw InputError(opened.path() + ": tensor " + quote(name) + " is in another file too");
    }
  }
}

void CheckpointTensors::read(const CheckpointTensor& tensor) const {
  const auto place = places_.find(tensor.name);
  if (place == places_.end()) throw InputError(folder_ + ": no tensor " + quote(tensor.name));
  const SafeTensorsFile& file = files_[place->second];
  const SafeTensor& found = file.at(tensor.name);
  if (found.shape != tensor.shape || found.dtype != DType::f32) {
    throw InputError(file.path() + ": tensor " + quote(tensor.name) + ": " +
                     std::string(dtype_name(found.dtype)) + " " + shape_text(found.shape) +
                     ", expected fp32 " + shape_text(tensor.shape));
  }
  file.read(found, 0, {tensor.values.data, static_cast<size_t>(tensor.values.bytes())});
}

CheckpointFolder::~CheckpointFolder() {
  abandon();
  if (lock_ >= 0) close(lock_);
}

std::string CheckpointFolder::temporary(int64_t steps) const {
  return in(path_, "." + step_name(steps) + ".writing");
}

void CheckpointFolder::begin(int64_t steps) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error || !fs::is_directory(path_, error)) {
    throw InputError(path_ + ": not a folder, and cannot be made one");
  }
  const std::string lock = in(path_, ".lock");
  lock_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) throw InputError(lock + ": cannot write: " + last_error());
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw InputError(path_ + ": another job is writing a checkpoint there");
  }
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("." + std::string(kStepPrefix))) remove_folder(entry.path().string());
  }
  const std::string made = temporary(steps);
  if (!fs::create_directory(made, error)) {
    throw InputError(made + ": cannot write: " + error.message());
  }
  begun_ = made;
}

void CheckpointFolder::commit(int64_t steps, int keep_last) {
  const std::string place = in(path_, step_name(steps));
  sync_folder(begun_);
  std::error_code error;
  const bool replaces = fs::exists(place, error);
  // One call puts the new one in the old one's place, where the file system can.
  const bool exchanged = replaces && renameat2(AT_FDCWD, begun_.c_str(), AT_FDCWD, place.c_str(),
                                               RENAME_EXCHANGE) == 0;
  if (!exchanged) {
    if (replaces) remove(steps);
    if (std::rename(begun_.c_str(), place.c_str()) != 0) {
      throw RunError(place + ": rename failed: " + last_error());
    }
  }
  abandon();  // what was exchanged
  const std::string link = in(path_, ".latest.new");
  fs::remove(link, error);
  fs::create_directory_symlink(step_name(steps), link, error);
  if (!error) fs::rename(link, in(path_, kLatestName), error);
  if (error) throw RunError(in(path_, kLatestName) + ": cannot write: " + error.message());
  sync_folder(path_);
  remove_old(steps, keep_last);
}

void CheckpointFolder::remove_old(int64_t steps, int keep_last) const {
  std::vector<int64_t> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    const std::optional<int64_t> step = step_of(entry.path().filename().string());
    if (step && *step <= steps) found.push_back(*step);
  }
  std::ranges::sort(found, std::greater<>());
  for (size_t i = static_cast<size_t>(keep_last); i < found.size(); ++i) remove(found[i]);
}

/// Removes a checkpoint: by a name that is none of a checkpoint, so that none is ever half there.
void CheckpointFolder::remove(int64_t steps) const {
  const std::string going = in(path_, "." + step_name(steps) + ".going");
  std::error_code ignored;
  fs::rename(in(path_, step_name(steps)), going, ignored);
  remove_folder(going);
}

void CheckpointFolder::abandon() noexcept {
  if (!begun_.empty()) remove_folder(begun_);
  begun_.clear();
}

std::string find_checkpoint(const std::string& path) {
  std::error_code error;
  if (fs::exists(in(path, kStateName), error)) return path;
  const std::string latest = in(path, kLatestName);
  if (fs::exists(in(latest, kStateName), error)) {
    const fs::path target = fs::read_symlink(latest, error);
    return error ? latest : in(path, target.string());
  }
  throw InputError(path + ": no checkpoint: neither " + std::string(kStateName) + " nor " +
                   std::string(kLatestName));
}

}  // namespace hashep
