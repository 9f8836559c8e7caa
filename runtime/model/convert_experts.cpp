// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/convert_experts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "core/quantise.hpp"
#include "core/safetensors_edit.hpp"
#include "core/strict_json.hpp"
#include "hashep/error.hpp"
#include "runtime/model/config_file.hpp"
#include "runtime/model/matrix_place.hpp"
#include "runtime/model/model_files.hpp"
#include "runtime/model/model_tables.hpp"
#include "runtime/model/tensor_names.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;

/// The matrices of a tensor, in the order in which they stand in it.
using Slices = std::map<int64_t, MatrixPlace>;  // by the first byte in its file

constexpr int64_t kFp4Block = 32;

std::string new_scale_name(const std::string& name) {
  return name.ends_with(".weight") ? scale_name(name) : name + "_scale_inv";
}

class Converter {
 public:
  Converter(const std::string& folder, std::optional<QuantFormat> format)
      : folder_(folder),
        format_(format),
        config_(read_config_file(folder, ModelLayers::hash)),
        files_(folder, config_.model.num_layers) {
    const ModelConfig& model = config_.model;
    if (model.num_experts == 0) throw InputError(folder + ": the model has no routed experts");
    for (int64_t layer = 0; layer < model.num_layers; ++layer) {
      for (int64_t expert = 0; expert < model.num_experts; ++expert) {
        const FfnPlace place{routed_expert_name(layer, expert), stacked_experts_name(layer), expert,
                             model.num_experts};
        for (const FfnMatrix& matrix : ffn_matrices(model.routed_shape())) {
          add(find_matrix(files_, config_.quantisation, place, matrix));
        }
      }
    }
  }

  ExpertConversion write(const fs::path& output) {
    for (const auto& [file, name] : old_scales_) names_[name] = std::nullopt;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const std::string name = entry.path().filename().string();
      const auto edited = tensors_.find(entry.path().string());
      if (edited != tensors_.end()) {
        write_file(edited->first, edited->second, output / name);
      } else if (name == "config.json") {
        write_file_atomically((output / name).string(), config_text());
      } else if (name != kIndex && entry.is_regular_file()) {
        fs::copy_file(entry.path(), output / name);
      }
    }
    write_index(output);
    return done_;
  }

 private:
  static constexpr std::string_view kIndex = "model.safetensors.index.json";

  void add(const MatrixPlace& found) {
    const std::string path = found.tensor.file->path();
    const int64_t at = found.quantised
                           ? found.quantised->codes_at
                           : found.tensor.file->at(found.tensor.name).offset + found.first_byte;
    tensors_[path][found.tensor.name].emplace(at, found);
    if (found.quantised) {
      const TensorPlace& scales = found.quantised->scales;
      old_scales_.emplace(scales.file->path(), scales.name);
      if (scales.file->path() != path) tensors_[scales.file->path()];
    }
  }

  int64_t block_rows() const {
    return *format_ == QuantFormat::fp4_e2m1 ? 1 : config_.quantisation.block_rows;
  }
  int64_t block_cols() const {
    return *format_ == QuantFormat::fp4_e2m1 ? kFp4Block : config_.quantisation.block_cols;
  }

  std::vector<float> values_of(const MatrixPlace& place) {
    std::vector<float> values(static_cast<size_t>(place.rows * place.cols));
    if (!place.quantised) {
      Buffer memory;
      const ConstMatrixView view = read_matrix(place, memory);
      convert_to_float(view.dtype, view.data, view.rows * view.cols, values.data());
      done_.bytes_before += view.bytes();
      const bool is_finite = std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
      if (!is_finite) throw InputError(place.tensor.text() + ": holds NaN or infinite values");
      return values;
    }
    Buffer codes;
    Buffer scales;
    const QuantisedView view = read_quantised(place, codes, scales);
    dequantise(view, 0, view.rows, DType::f32, reinterpret_cast<std::byte*>(values.data()));
    done_.bytes_before += view.rows * view.code_row_bytes() +
                          view.scale_rows() * view.scale_cols() * view.scale_bytes();
    return values;
  }

  void compare(const std::vector<float>& before, const std::vector<float>& after) {
    double difference = 0.0;
    double norm = 0.0;
    for (size_t i = 0; i < before.size(); ++i) {
      const double step = double{after[i]} - before[i];
      done_.rounded += step != 0.0 ? 1 : 0;
      difference += step * step;
      norm += double{before[i]} * before[i];
    }
    if (norm > 0.0)
      done_.largest_error = std::max(done_.largest_error, std::sqrt(difference / norm));
  }

  /// A tensor's matrices as they are to be, with their scales.
  struct Converted {
    std::vector<std::byte> bytes;
    std::vector<std::byte> scales;
    bool is_made = false;
  };

  void convert(const Slices& slices, Converted& made) {
    if (std::exchange(made.is_made, true)) return;
    const auto append = [](std::vector<std::byte>& to, const std::vector<std::byte>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    for (const auto& [at, place] : slices) {
      const std::vector<float> before = values_of(place);
      std::vector<float> after(before.size());
      ++done_.matrices;
      if (!format_) {
        std::vector<std::byte> rounded(before.size() * sizeof(BFloat16));
        convert_from_float(before.data(), std::ssize(before), DType::bf16, rounded.data());
        convert_to_float(DType::bf16, rounded.data(), std::ssize(before), after.data());
        append(made.bytes, rounded);
      } else {
        const QuantisedMatrix matrix =
            quantise(before.data(), place.rows, place.cols, *format_, block_rows(), block_cols());
        dequantise(matrix.view, 0, place.rows, DType::f32,
                   reinterpret_cast<std::byte*>(after.data()));
        append(made.bytes, matrix.codes);
        append(made.scales, matrix.scales);
      }
      compare(before, after);
    }
    done_.bytes_after += std::ssize(made.bytes) + std::ssize(made.scales);
  }

  void write_file(const std::string& path, const std::map<std::string, Slices>& tensors,
                  const fs::path& output) {
    const SafeTensorsFile old(path);
    TensorEdits edits;
    for (const auto& [file, name] : old_scales_) {
      if (file == path) edits[name] = std::nullopt;
    }
    for (const auto& [name, slices] : tensors) add_edits(old, name, slices, edits);
    AtomicFile out(output.string());
    write_edited_safetensors(&old, edits, out);
    out.commit();
  }

  void add_edits(const SafeTensorsFile& old, const std::string& name, const Slices& slices,
                 TensorEdits& edits) {
    const MatrixPlace& first = slices.begin()->second;
    std::vector<int64_t> shape =
        first.quantised ? old.contents().skipped.at(name).shape : old.at(name).shape;
    const int64_t scale_rows = rows_of_scales(slices);
    const int64_t rows = shape[shape.size() - 2];
    const int64_t stacked = std::ssize(shape) == 3 ? shape.front() : 1;
    if (format_ && rows * stacked > 0 && std::ssize(slices) > stacked &&
        (rows / 2) % block_rows() != 0) {
      throw InputError(first.tensor.text() + ": w3 would begin within a block of scales");
    }
    // Made when the first of the two is written: their names follow one another, so that one tensor
    // at a time is in memory.
    auto made = std::make_shared<Converted>();
    shape.back() = format_ == QuantFormat::fp4_e2m1 ? first.cols / 2 : first.cols;
    const auto count = [](const std::vector<int64_t>& of) {
      int64_t product = 1;
      for (const int64_t length : of) product *= length;
      return product;
    };
    const bool is_plain = !format_;
    edits[name] = TensorEdit{is_plain                            ? "BF16"
                             : *format_ == QuantFormat::fp4_e2m1 ? "I8"
                                                                 : "F8_E4M3",
                             shape, count(shape) * (is_plain ? 2 : 1),
                             [this, made, &slices](AtomicFile& out) {
                               convert(slices, *made);
                               out.write(made->bytes);
                               made->bytes = {};
                             }};
    names_[name] = fs::path(old.path()).filename().string();
    if (is_plain) return;
    std::vector<int64_t> scale_shape = shape;
    scale_shape.back() = (first.cols + block_cols() - 1) / block_cols();
    scale_shape[scale_shape.size() - 2] = scale_rows / stacked;
    const std::string scales = new_scale_name(name);
    edits[scales] = TensorEdit{"F8_E8M0", scale_shape, count(scale_shape),
                               [this, made, &slices](AtomicFile& out) {
                                 convert(slices, *made);
                                 out.write(made->scales);
                               }};
    names_[scales] = names_[name];
  }

  int64_t rows_of_scales(const Slices& slices) const {
    int64_t rows = 0;
    if (!format_) return rows;
    for (const auto& [at, place] : slices) rows += (place.rows + block_rows() - 1) / block_rows();
    return rows;
  }

  std::string config_text() const {
    nlohmann::ordered_json config =
        nlohmann::ordered_json::parse(read_text_file((fs::path(folder_) / "config.json").string()));
    nlohmann::ordered_json& at =
        config.contains("text_config") && config["text_config"].contains("quantization_config")
            ? config["text_config"]
            : config;
    if (format_ && !at.contains("quantization_config")) {
      at["quantization_config"] = {
          {"quant_method", "fp8"},
          {"fmt", "e4m3"},
          {"scale_fmt", "ue8m0"},
          {"weight_block_size",
           {config_.quantisation.block_rows, config_.quantisation.block_cols}}};
    }
    at["expert_dtype"] = format_ ? std::string(quant_format_name(*format_)) : "bf16";
    return config.dump(2) + "\n";
  }

  void write_index(const fs::path& output) const {
    const fs::path path = fs::path(folder_) / kIndex;
    if (!fs::exists(path)) return;
    nlohmann::json index = read_json_object(path.string());
    for (const auto& [name, file] : names_) {
      if (file) {
        index["weight_map"][name] = *file;
      } else {
        index["weight_map"].erase(name);
      }
    }
    if (index.contains("metadata") && index["metadata"].contains("total_size")) {
      index["metadata"]["total_size"] =
          index["metadata"]["total_size"].get<int64_t>() + done_.bytes_after - done_.bytes_before;
    }
    write_file_atomically((output / kIndex).string(), index.dump(2) + "\n");
  }

  std::string folder_;
  std::optional<QuantFormat> format_;
  ConfigFile config_;
  ModelFiles files_;
  std::map<std::string, std::map<std::string, Slices>> tensors_;  // by file, then name
  std::set<std::pair<std::string, std::string>> old_scales_;      // files and names
  std::map<std::string, std::optional<std::string>> names_;       // tensor -> file name, or gone
  ExpertConversion done_;
};

/// A folder that is gone again, unless it was given its name.
class NewFolder {
 public:
  explicit NewFolder(const std::string& path) : path_(path), temporary_(path + ".tmp") {
    std::error_code error;
    if (fs::exists(path_, error)) throw InputError(path + ": is there already");
    if (!fs::create_directory(temporary_, error)) {
      throw InputError(temporary_.string() + ": cannot make the folder: " +
                       (error ? error.message() : "it is there already"));
    }
  }
  ~NewFolder() {
    std::error_code ignored;
    fs::remove_all(temporary_, ignored);
  }
  const fs::path& path() const { return temporary_; }
  void keep() { fs::rename(temporary_, path_); }

 private:
  fs::path path_;
  fs::path temporary_;
};

}  // namespace

ExpertConversion convert_experts(const std::string& folder, const std::string& output,
                                 std::optional<QuantFormat> format) {
  Converter converter(folder, format);
  NewFolder made(fs::path(output + "/").parent_path().string());
  const ExpertConversion done = converter.write(made.path());
  made.keep();
  return done;
}

}  // namespace hashep
