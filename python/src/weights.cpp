// SPDX-License-Identifier: Apache-2.0
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <cstring>
#include <utility>

#include "hashep/error.hpp"
#include "hashep/synthetic_weights.hpp"
#include "hashep/weight_source.hpp"
#include "python/src/routing.hpp"
#include "python/src/training.hpp"
#include "python/src/words.hpp"

namespace hashep::python {
namespace {

/// Weights that functions of Python's give. Its lock is taken for each call, and what a call gives
/// is copied, as the array may be gone by the time it is packed.
class FunctionWeights final : public WeightSource {
 public:
  FunctionWeights(nb::callable routed_expert, nb::object shared_experts, nb::object gate,
                  nb::object gate_bias)
      : routed_expert_(std::move(routed_expert)),
        shared_experts_(std::move(shared_experts)),
        gate_(std::move(gate)),
        gate_bias_(std::move(gate_bias)) {}

  LoadedFfn routed_expert(int64_t layer, int64_t expert) const override {
    return ffn("routed_expert", [&] { return routed_expert_(layer, expert); });
  }
  LoadedFfn shared_experts(int64_t layer) const override {
    if (shared_experts_.is_none()) return WeightSource::shared_experts(layer);
    return ffn("shared_experts", [&] { return shared_experts_(layer); });
  }
  LoadedMatrix gate(int64_t layer) const override {
    if (gate_.is_none()) return WeightSource::gate(layer);
    return matrix("gate", [&] { return gate_(layer); });
  }
  LoadedMatrix gate_bias(int64_t layer) const override {
    if (gate_bias_.is_none()) return WeightSource::gate_bias(layer);
    return matrix("gate_bias", [&] { return gate_bias_(layer); });
  }

 private:
  static LoadedMatrix copied(nb::handle array, const std::string& name) {
    const InputMatrix from = input_matrix(array, name);
    LoadedMatrix to{{}, Buffer(from.view.bytes())};
    std::memcpy(to.owned.data(), from.view.data, from.view.bytes());
    to.view = to.owned.matrix(from.view.dtype, from.view.rows, from.view.cols);
    return to;
  }

  template <typename Work>
  static auto with_python(const std::string& name, const Work& work) {
    const nb::gil_scoped_acquire acquire;
    try {
      return work();
    } catch (nb::python_error& error) {
      throw InputError(name + ": " + error_text(error));
    } catch (const nb::cast_error&) {
      throw InputError(name + ": gave something else than a dict of arrays");
    }
  }

  template <typename Give>
  static LoadedMatrix matrix(const std::string& name, const Give& give) {
    return with_python(name, [&] { return copied(nb::object(give()), name); });
  }

  template <typename Give>
  static LoadedFfn ffn(const std::string& name, const Give& give) {
    return with_python(name, [&] {
      LoadedFfn loaded;
      const std::pair<const char*, ConstMatrixView*> all[] = {
          {"w1", &loaded.weights.w1},       {"w2", &loaded.weights.w2},
          {"w3", &loaded.weights.w3},       {"bias1", &loaded.weights.bias1},
          {"bias2", &loaded.weights.bias2}, {"bias3", &loaded.weights.bias3}};
      for (const auto& [key, value] : nb::cast<nb::dict>(nb::object(give()))) {
        const auto word = nb::cast<std::string>(key);
        ConstMatrixView* to = nullptr;
        for (const auto& [text, view] : all) {
          if (word == text) to = view;
        }
        if (to == nullptr) throw InputError(name + ": '" + word + "' is no weight of an expert");
        LoadedMatrix one = copied(value, name + "['" + word + "']");
        *to = one.view;
        loaded.owned.push_back(std::move(one.owned));
      }
      return loaded;
    });
  }

  nb::callable routed_expert_;
  nb::object shared_experts_;
  nb::object gate_;
  nb::object gate_bias_;
};

}  // namespace

void bind_weights(nb::module_& module) {
  nb::class_<WeightSource>(
      module, "WeightSource",
      "Where a Stack takes its weights from; a rank asks for its own experts alone.");
  nb::class_<FunctionWeights, WeightSource>(module, "ArrayWeights",
                                            R"(Weights from arrays, given by functions.

routed_expert(layer, expert) and shared_experts(layer) give a dict: w1 [ffn_size, hidden_size],
w2 [hidden_size, ffn_size], with "silu" w3 [ffn_size, hidden_size], and optionally bias1, bias2,
bias3 of one row each. gate(layer): [num_experts, hidden_size]; gate_bias(layer): [1, num_experts].
float32 or bfloat16 arrays in host memory.)")
      .def(nb::init<nb::callable, nb::object, nb::object, nb::object>(), nb::arg("routed_expert"),
           nb::arg("shared_experts").none() = nb::none(), nb::arg("gate").none() = nb::none(),
           nb::arg("gate_bias").none() = nb::none());
  module.def(
      "synthetic_weights",
      [](const StackShape& shape, const std::string& dtype, uint64_t seed) {
        return make_synthetic_weights(shape, choice(kDTypes, dtype, "dtype"), seed);
      },
      nb::arg("shape"), nb::kw_only(), nb::arg("dtype") = "float32", nb::arg("seed") = 0,
      "Random weights of a variance that keeps hidden states in range: a function of the seed. "
      "Local.");
}

}  // namespace hashep::python
