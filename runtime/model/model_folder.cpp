// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model_folder.hpp"

#include <array>
#include <set>
#include <utility>

#include "runtime/model/matrix_place.hpp"
#include "runtime/model/model_tables.hpp"
#include "runtime/model/result_keys.hpp"
#include "runtime/model/tensor_names.hpp"
#include "runtime/model/weight_sample.hpp"
#include "runtime/routing/spread_tensors.hpp"

namespace hashep {

bool WeightTypes::are_quantised() const {
  const auto has = [&](std::string_view type) {
    return routed.contains(std::string(type)) || shared.contains(std::string(type));
  };
  return has(quant_format_name(QuantFormat::fp8_e4m3)) ||
         has(quant_format_name(QuantFormat::fp4_e2m1));
}

class ModelFolder::Impl {
 public:
  Impl(const std::string& path, ModelParts parts, ModelLayers layers)
      : config_(read_config_file(path, layers)), files_(path, config_.model.num_layers, parts) {
    if (parts == ModelParts::tables) return;
    require_result_keys(config_, files_);
    check_all();
  }

  const ConfigFile& config_file() const { return config_; }
  const ModelConfig& config() const { return config_.model; }
  const std::vector<std::string>& unused_tensors() const { return unused_; }
  const WeightTypes& weight_types() const { return types_; }
  uint64_t shape_digest() const { return digest_.value(); }

  RoutingTable table(int64_t layer) const { return read_model_table(files_, config(), layer); }

  FfnPlace routed(int64_t layer, int64_t expert) const {
    return {routed_expert_name(layer, expert), stacked_experts_name(layer), expert,
            config().num_experts};
  }

  LoadedFfn read_ffn(const FfnPlace& place, const FfnShape& shape) const {
    LoadedFfn ffn;
    const std::array views = {&ffn.weights.w1, &ffn.weights.w2, &ffn.weights.w3};
    const std::array biases = {&ffn.weights.bias1, &ffn.weights.bias2, &ffn.weights.bias3};
    QuantisedFfn& quantised = ffn.weights.quantised;
    const std::array quantised_views = {&quantised.w1, &quantised.w2, &quantised.w3};
    const auto read_into = [&](ConstMatrixView& view, const MatrixPlace& found) {
      view = read_matrix(found, ffn.owned.emplace_back());
    };
    const std::vector<FfnMatrix> matrices = ffn_matrices(shape);
    for (size_t i = 0; i < matrices.size(); ++i) {
      const MatrixPlace found = find_matrix(files_, config_.quantisation, place, matrices[i]);
      if (found.quantised) {
        Buffer codes;
        *quantised_views[i] = read_quantised(found, codes, ffn.owned.emplace_back());
        ffn.owned.push_back(std::move(codes));
      } else {
        read_into(*views[i], found);
      }
      if (const auto bias = find_bias(files_, place, matrices[i])) read_into(*biases[i], *bias);
    }
    return ffn;
  }

  StoredFfn stored_ffn(const FfnPlace& place, const FfnShape& shape) const {
    using Quantised = QuantisedView QuantisedFfn::*;
    using Plain = ConstMatrixView FfnWeights::*;
    constexpr std::array<Quantised, 3> kQuantised = {&QuantisedFfn::w1, &QuantisedFfn::w2,
                                                     &QuantisedFfn::w3};
    constexpr std::array<Plain, 3> kPlain = {&FfnWeights::w1, &FfnWeights::w2, &FfnWeights::w3};
    constexpr std::array<Plain, 3> kBiases = {&FfnWeights::bias1, &FfnWeights::bias2,
                                              &FfnWeights::bias3};
    FfnWeights layout;
    std::vector<FileRange> parts;
    std::vector<std::function<void(FfnWeights&, const std::byte*)>> put;  // by part
    const auto add_plain = [&](Plain matrix, const MatrixPlace& found) {
      const SafeTensorsFile& file = *found.tensor.file;
      layout.*matrix = {nullptr, found.dtype, found.rows, found.cols};
      parts.push_back({file.path(), file.at(found.tensor.name).offset + found.first_byte,
                       (layout.*matrix).bytes()});
      put.emplace_back(
          [matrix](FfnWeights& of, const std::byte* data) { (of.*matrix).data = data; });
    };
    const auto add_quantised = [&](Quantised matrix, const MatrixPlace& found) {
      const QuantisedView& view = found.quantised->layout;
      layout.quantised.*matrix = view;
      parts.push_back({found.tensor.file->path(), found.quantised->codes_at,
                       view.rows * view.code_row_bytes()});
      put.emplace_back(
          [matrix](FfnWeights& of, const std::byte* data) { (of.quantised.*matrix).codes = data; });
      parts.push_back({found.quantised->scales.file->path(), found.quantised->scales_at,
                       view.scale_rows() * view.scale_cols() * view.scale_bytes()});
      put.emplace_back([matrix](FfnWeights& of, const std::byte* data) {
        (of.quantised.*matrix).scales = data;
      });
    };
    const std::vector<FfnMatrix> matrices = ffn_matrices(shape);
    for (size_t i = 0; i < matrices.size(); ++i) {
      const MatrixPlace found = find_matrix(files_, config_.quantisation, place, matrices[i]);
      found.quantised ? add_quantised(kQuantised[i], found) : add_plain(kPlain[i], found);
      if (const auto bias = find_bias(files_, place, matrices[i])) add_plain(kBiases[i], *bias);
    }
    return {std::move(parts), [layout, put](std::span<const std::byte* const> data) {
              FfnWeights weights = layout;
              for (size_t i = 0; i < put.size(); ++i) put[i](weights, data[i]);
              return weights;
            }};
  }

  uint64_t sample_expert(int64_t layer, int64_t expert) const {
    const FfnPlace place = routed(layer, expert);
    WeightSample sample(layer, expert);
    const auto add = [&](const MatrixPlace& found) {
      const MatrixRows rows(found);
      sample.add(rows.dtype(), found.rows, found.cols,
                 [&](int64_t row, std::span<std::byte> out) { rows.read(row, out); });
    };
    for (const FfnMatrix& matrix : ffn_matrices(config().routed_shape())) {
      add(find_matrix(files_, config_.quantisation, place, matrix));
      if (const auto bias = find_bias(files_, place, matrix)) add(*bias);
    }
    return sample.value();
  }

  LoadedMatrix read_gate(int64_t layer) const {
    return read_floats(find_gate(files_, config(), layer));
  }
  LoadedMatrix read_gate_bias(int64_t layer) const {
    return read_floats(find_gate_bias(files_, config(), layer));
  }

 private:
  static LoadedMatrix read_floats(const MatrixPlace& found) {
    LoadedMatrix gate;
    if (found.dtype == DType::f32) {
      gate.view = read_matrix(found, gate.owned);
      return gate;
    }
    const int64_t count = found.rows * found.cols;
    gate.owned.reserve(count * dtype_size(DType::f32));
    gate.view = gate.owned.matrix(DType::f32, found.rows, found.cols);
    Buffer stored;
    convert_to_float(found.dtype, read_matrix(found, stored).data, count,
                     reinterpret_cast<float*>(gate.owned.data()));
    return gate;
  }

  using Used = std::set<std::pair<const SafeTensorsFile*, std::string>>;

  void add(const std::string& name, const MatrixPlace& found, Used& used) {
    digest_.add(name, found.type_name(), std::array{found.rows, found.cols});
    used.emplace(found.tensor.file, found.tensor.name);
    if (found.quantised) {
      used.emplace(found.quantised->scales.file, found.quantised->scales.name);
    }
  }

  void add_ffn(const FfnPlace& place, const FfnShape& shape, std::set<std::string>& types,
               Used& used) {
    for (const FfnMatrix& matrix : ffn_matrices(shape)) {
      const MatrixPlace found = find_matrix(files_, config_.quantisation, place, matrix);
      add(weight_name(place.name, matrix.name), found, used);
      types.emplace(found.type_name());
      if (found.quantised && !can_stay_packed(found.quantised->layout)) {
        types_.can_stay_packed = false;
      }
      const auto bias = find_bias(files_, place, matrix);
      if (bias) add(bias_name(place.name, matrix.name), *bias, used);
    }
  }

  void add_table(int64_t layer, Used& used) {
    const SafeTensor& tensor = model_table_tensor(files_, config(), layer);
    digest_.add(table_name(layer), dtype_name(tensor.dtype), tensor.shape);
    const SpreadTensorNames spread = spread_tensor_names(table_name(layer));
    for (const std::string& name : {table_name(layer), spread.ids, spread.offsets, spread.rows}) {
      if (const auto place = files_.find(name)) used.emplace(place->file, place->name);
    }
  }

  /// Finds each tensor that the model needs and checks its shape, so that nothing is missing once
  /// tokens move, and notes what is not needed. Reads headers alone.
  void check_all() {
    Used used;
    for (int64_t layer = 0; layer < config().num_layers; ++layer) {
      const StackShape shape = config().shape();
      const bool is_routed = layer < shape.num_routed_layers();
      if (is_routed && config().router == RouterKind::table) add_table(layer, used);
      if (shape.has_gate_weights(layer)) {
        add(gate_name(layer), find_gate(files_, config(), layer), used);
      }
      if (shape.has_gate_bias(layer)) {
        add(gate_bias_name(layer), find_gate_bias(files_, config(), layer), used);
      }
      for (int64_t expert = 0; expert < config().num_experts; ++expert) {
        add_ffn(routed(layer, expert), config().routed_shape(), types_.routed, used);
      }
      if (config().num_shared_experts > 0) {
        add_ffn({shared_experts_name(layer)}, config().shared_shape(), types_.shared, used);
      }
    }
    for (const TensorPlace& place : files_.of_hash_layers()) {
      if (!used.contains({place.file, place.name})) unused_.push_back(place.name);
    }
    unused_.insert(unused_.end(), files_.later_tables().begin(), files_.later_tables().end());
  }

  ConfigFile config_;
  ModelFiles files_;
  ShapeDigest digest_;
  std::vector<std::string> unused_;
  WeightTypes types_;
};

ModelFolder::ModelFolder(const std::string& path, ModelParts parts, ModelLayers layers)
    : impl_(std::make_unique<Impl>(path, parts, layers)) {}
ModelFolder::~ModelFolder() = default;

const ModelConfig& ModelFolder::config() const {
  return impl_->config();
}

const std::vector<std::string>& ModelFolder::unused_tensors() const {
  return impl_->unused_tensors();
}

const WeightTypes& ModelFolder::weight_types() const {
  return impl_->weight_types();
}

const std::vector<std::string>& ModelFolder::quantised_keys() const {
  return impl_->config_file().quantised_keys;
}

RoutingTable ModelFolder::table(int64_t layer) const {
  return impl_->table(layer);
}

LoadedFfn ModelFolder::routed_expert(int64_t layer, int64_t expert) const {
  return impl_->read_ffn(impl_->routed(layer, expert), config().routed_shape());
}

std::optional<StoredFfn> ModelFolder::stored_expert(int64_t layer, int64_t expert) const {
  return impl_->stored_ffn(impl_->routed(layer, expert), config().routed_shape());
}

LoadedFfn ModelFolder::shared_experts(int64_t layer) const {
  if (config().num_shared_experts == 0) return {};
  return impl_->read_ffn({shared_experts_name(layer)}, config().shared_shape());
}

LoadedMatrix ModelFolder::gate(int64_t layer) const {
  return impl_->read_gate(layer);
}

LoadedMatrix ModelFolder::gate_bias(int64_t layer) const {
  return impl_->read_gate_bias(layer);
}

std::optional<uint64_t> ModelFolder::sample_expert(int64_t layer, int64_t expert) const {
  return impl_->sample_expert(layer, expert);
}

uint64_t ModelFolder::shape_digest() const {
  return impl_->shape_digest();
}

}  // namespace hashep
