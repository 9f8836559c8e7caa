// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_folder.hpp"

#include <array>

#include "core/error.hpp"
#include "core/safetensors.hpp"
#include "runtime/model/model_files.hpp"
#include "runtime/model/model_tables.hpp"
#include "runtime/model/tensor_names.hpp"
#include "runtime/model/weight_sample.hpp"

namespace hashep {
namespace {

bool is_weight_dtype(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

}  // namespace

class ModelFolder::Impl {
 public:
  Impl(const std::string& path, ModelParts parts)
      : config_(read_model_config(path)),
        files_(path, config_.num_layers, parts),
        digest_(parts == ModelParts::all ? check_all() : 0) {}

  const ModelConfig& config() const { return config_; }
  uint64_t shape_digest() const { return digest_; }

  RoutingTable table(int64_t layer) const { return read_model_table(files_, config_, layer); }

  LoadedFfn read_ffn(const std::string& name, const FfnShape& shape) const {
    LoadedFfn ffn;
    const std::array views = {&ffn.weights.w1, &ffn.weights.w2, &ffn.weights.w3};
    const std::array biases = {&ffn.weights.bias1, &ffn.weights.bias2, &ffn.weights.bias3};
    const auto read_into = [&](ConstMatrixView& view, const FoundMatrix& found) {
      ffn.owned.emplace_back(found.tensor->bytes);
      view = read(found, ffn.owned.back());
    };
    const std::vector<FfnMatrix> matrices = ffn_matrices(shape);
    for (size_t i = 0; i < matrices.size(); ++i) {
      const auto& [matrix, rows, cols] = matrices[i];
      read_into(*views[i], find_weight(files_.at(weight_name(name, matrix)), rows, cols));
      const auto bias = files_.find(bias_name(name, matrix));
      if (bias) read_into(*biases[i], find_weight(*bias, 1, rows));
    }
    return ffn;
  }

  uint64_t sample_expert(int64_t layer, int64_t expert) const {
    const std::string name = routed_expert_name(layer, expert);
    WeightSample sample(layer, expert);
    const auto add = [&](const FoundMatrix& found) {
      const int64_t row_bytes = found.cols * dtype_size(found.tensor->dtype);
      sample.add(found.tensor->dtype, found.rows, found.cols,
                 [&](int64_t row, std::span<std::byte> out) {
                   found.file->read(*found.tensor, row * row_bytes, out);
                 });
    };
    for (const auto& [matrix, rows, cols] : ffn_matrices(config_.routed_shape())) {
      add(find_weight(files_.at(weight_name(name, matrix)), rows, cols));
      const auto bias = files_.find(bias_name(name, matrix));
      if (bias) add(find_weight(*bias, 1, rows));
    }
    return sample.value();
  }

  /// As fp32.
  LoadedMatrix read_gate(int64_t layer) const {
    const FoundMatrix found = find_gate(layer);
    const int64_t count = found.rows * found.cols;
    LoadedMatrix gate;
    gate.owned.reserve(count * dtype_size(DType::f32));
    gate.view = gate.owned.matrix(DType::f32, found.rows, found.cols);
    if (found.tensor->dtype == DType::f32) {
      read(found, gate.owned);
      return gate;
    }
    Buffer stored(found.tensor->bytes);
    convert_to_float(found.tensor->dtype, read(found, stored).data, count,
                     reinterpret_cast<float*>(gate.owned.data()));
    return gate;
  }

 private:
  /// A matrix [rows, cols] of weights in a file.
  struct FoundMatrix {
    const SafeTensorsFile* file = nullptr;
    const SafeTensor* tensor = nullptr;
    int64_t rows = 0;
    int64_t cols = 0;
  };

  static FoundMatrix find_weight(const TensorPlace& place, int64_t rows, int64_t cols) {
    const auto& unreadable = place.file->contents().skipped;
    if (const auto found = unreadable.find(place.name); found != unreadable.end()) {
      throw InputError(place.text() + ": dtype " + found->second.dtype +
                       ", expected F32, F16 or BF16 (convert quantised weights first)");
    }
    const SafeTensor& tensor = place.file->at(place.name);
    if (!is_weight_dtype(tensor.dtype)) {
      throw InputError(place.text() + ": dtype " + std::string(dtype_name(tensor.dtype)) +
                       ", expected fp32, fp16 or bf16");
    }
    tensor.require_matrix(rows, cols, place.text());
    return {place.file, &tensor, rows, cols};
  }

  FoundMatrix find_gate(int64_t layer) const {
    return find_weight(files_.at(gate_name(layer)), config_.num_experts, config_.hidden_size);
  }

  /// `memory` has room for it.
  static ConstMatrixView read(const FoundMatrix& found, Buffer& memory) {
    found.file->read(*found.tensor, 0, {memory.data(), static_cast<size_t>(found.tensor->bytes)});
    return memory.matrix(found.tensor->dtype, found.rows, found.cols);
  }

  /// Finds each tensor that the model needs and checks its shape, so that nothing is missing once
  /// tokens move. Reads headers alone. Returns their digest.
  uint64_t check_all() const {
    ShapeDigest digest;
    const auto add_matrix = [&](const std::string& name, const FoundMatrix& found) {
      digest.add(name, found.tensor->dtype, std::array{found.rows, found.cols});
    };
    const auto add_ffn = [&](const std::string& name, const FfnShape& shape) {
      for (const auto& [matrix, rows, cols] : ffn_matrices(shape)) {
        const std::string weight = weight_name(name, matrix);
        add_matrix(weight, find_weight(files_.at(weight), rows, cols));
        const std::string bias = bias_name(name, matrix);
        if (const auto place = files_.find(bias)) add_matrix(bias, find_weight(*place, 1, rows));
      }
    };
    for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
      if (config_.router == RouterKind::table) {
        const SafeTensor& tensor = model_table_tensor(files_, config_, layer);
        digest.add(table_name(layer), tensor.dtype, tensor.shape);
      }
      if (config_.score == Score::sqrtsoftplus) add_matrix(gate_name(layer), find_gate(layer));
      for (int64_t expert = 0; expert < config_.num_experts; ++expert) {
        add_ffn(routed_expert_name(layer, expert), config_.routed_shape());
      }
      if (config_.num_shared_experts > 0) {
        add_ffn(shared_experts_name(layer), config_.shared_shape());
      }
    }
    return digest.value();
  }

  ModelConfig config_;
  ModelFiles files_;
  uint64_t digest_ = 0;
};

ModelFolder::ModelFolder(const std::string& path, ModelParts parts)
    : impl_(std::make_unique<Impl>(path, parts)) {}
ModelFolder::~ModelFolder() = default;

const ModelConfig& ModelFolder::config() const {
  return impl_->config();
}

RoutingTable ModelFolder::table(int64_t layer) const {
  return impl_->table(layer);
}

LoadedFfn ModelFolder::routed_expert(int64_t layer, int64_t expert) const {
  return impl_->read_ffn(routed_expert_name(layer, expert), config().routed_shape());
}

LoadedFfn ModelFolder::shared_experts(int64_t layer) const {
  if (config().num_shared_experts == 0) return {};
  return impl_->read_ffn(shared_experts_name(layer), config().shared_shape());
}

LoadedMatrix ModelFolder::gate(int64_t layer) const {
  return impl_->read_gate(layer);
}

uint64_t ModelFolder::sample_expert(int64_t layer, int64_t expert) const {
  return impl_->sample_expert(layer, expert);
}

uint64_t ModelFolder::shape_digest() const {
  return impl_->shape_digest();
}

}  // namespace hashep
