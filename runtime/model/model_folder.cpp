// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_folder.hpp"

#include <array>

#include "core/error.hpp"
#include "core/safetensors.hpp"
#include "runtime/model/model_files.hpp"
#include "runtime/model/model_tables.hpp"
#include "runtime/model/tensor_names.hpp"

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
  void drop_pages() const { files_.drop_pages(); }
  uint64_t shape_digest() const { return digest_; }

  RoutingTable table(int64_t layer) const { return read_model_table(files_, config_, layer); }

  /// Views of the mapped files.
  FfnWeights ffn(const std::string& name, const FfnShape& shape) const {
    FfnWeights weights;
    const std::array views = {&weights.w1, &weights.w2, &weights.w3};
    const std::array biases = {&weights.bias1, &weights.bias2, &weights.bias3};
    const std::vector<FfnMatrix> matrices = ffn_matrices(shape);
    for (size_t i = 0; i < matrices.size(); ++i) {
      const auto& [matrix, rows, cols] = matrices[i];
      *views[i] = weight(files_.at(weight_name(name, matrix)), rows, cols);
      const auto bias = files_.find(bias_name(name, matrix));
      if (bias) *biases[i] = weight(*bias, 1, rows);
    }
    return weights;
  }

  ConstMatrixView gate(int64_t layer) const {
    return weight(files_.at(gate_name(layer)), config_.num_experts, config_.hidden_size);
  }

 private:
  static ConstMatrixView weight(const TensorPlace& place, int64_t rows, int64_t cols) {
    const auto& unreadable = place.file->contents().skipped;
    if (const auto found = unreadable.find(place.name); found != unreadable.end()) {
      throw InputError(place.text() + ": dtype " + found->second +
                       ", expected F32, F16 or BF16 (convert quantised weights first)");
    }
    const SafeTensor& tensor = place.file->at(place.name);
    if (!is_weight_dtype(tensor.dtype)) {
      throw InputError(place.text() + ": dtype " + std::string(dtype_name(tensor.dtype)) +
                       ", expected fp32, fp16 or bf16");
    }
    return tensor.matrix(rows, cols, place.text());
  }

  /// Finds each tensor that the model needs and checks its shape, so that nothing is missing once
  /// tokens move. Reads headers alone. Returns their digest.
  uint64_t check_all() const {
    ShapeDigest digest;
    const auto add_matrix = [&](const std::string& name, const ConstMatrixView& view) {
      digest.add(name, view.dtype, std::array{view.rows, view.cols});
    };
    const auto add_ffn = [&](const std::string& name, const FfnShape& shape) {
      const FfnWeights weights = ffn(name, shape);
      for (const auto& view :
           {weights.w1, weights.w2, weights.w3, weights.bias1, weights.bias2, weights.bias3}) {
        add_matrix(name, view);
      }
    };
    for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
      if (config_.router == RouterKind::table) {
        const SafeTensor& tensor = model_table_tensor(files_, config_, layer);
        digest.add(table_name(layer), tensor.dtype, tensor.shape);
      }
      if (config_.score == Score::sqrtsoftplus) add_matrix(gate_name(layer), gate(layer));
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
  return {impl_->ffn(routed_expert_name(layer, expert), config().routed_shape()), {}};
}

LoadedFfn ModelFolder::shared_experts(int64_t layer) const {
  if (config().num_shared_experts == 0) return {};
  return {impl_->ffn(shared_experts_name(layer), config().shared_shape()), {}};
}

LoadedMatrix ModelFolder::gate(int64_t layer) const {
  LoadedMatrix gate{impl_->gate(layer), {}};
  const bool is_aligned = reinterpret_cast<uintptr_t>(gate.view.data) % alignof(float) == 0;
  if (gate.view.dtype == DType::f32 && is_aligned) return gate;
  const int64_t count = gate.view.rows * gate.view.cols;
  gate.owned.reserve(count * dtype_size(DType::f32));
  convert_to_float(gate.view.dtype, gate.view.data, count,
                   reinterpret_cast<float*>(gate.owned.data()));
  gate.view = gate.owned.matrix(DType::f32, gate.view.rows, gate.view.cols);
  return gate;
}

void ModelFolder::drop_pages() const {
  impl_->drop_pages();
}

uint64_t ModelFolder::shape_digest() const {
  return impl_->shape_digest();
}

}  // namespace hashep
