// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "hashep/backend.hpp"
#include "hashep/error.hpp"
#include "hashep/gate.hpp"
#include "hashep/hash_router.hpp"
#include "hashep/model.hpp"
#include "hashep/stack_shape.hpp"

namespace hashep::python {

// The library's choices as Python says them: as words.

template <typename Choice>
using Word = std::pair<std::string_view, Choice>;

inline constexpr std::array kDTypes{Word<DType>{"float32", DType::f32},
                                    Word<DType>{"bfloat16", DType::bf16}};
inline constexpr std::array kActivations{Word<Activation>{"silu", Activation::silu},
                                         Word<Activation>{"gelu", Activation::gelu},
                                         Word<Activation>{"relu", Activation::relu}};
inline constexpr std::array kScores{Word<Score>{"none", Score::none},
                                    Word<Score>{"sqrtsoftplus", Score::sqrtsoftplus},
                                    Word<Score>{"sigmoid", Score::sigmoid}};
inline constexpr std::array kGateKinds{Word<GateKind>{"softmax_top_k", GateKind::softmax_top_k},
                                       Word<GateKind>{"noaux_tc", GateKind::noaux_tc}};
inline constexpr std::array kTransports{Word<TransportKind>{"auto", TransportKind::automatic},
                                        Word<TransportKind>{"shm", TransportKind::shm},
                                        Word<TransportKind>{"hier", TransportKind::hier},
                                        Word<TransportKind>{"mpi", TransportKind::mpi}};
inline constexpr std::array kGemmLibraries{Word<GemmLibrary>{"auto", GemmLibrary::automatic},
                                           Word<GemmLibrary>{"onednn", GemmLibrary::onednn},
                                           Word<GemmLibrary>{"xsmm", GemmLibrary::xsmm}};
inline constexpr std::array kWeightForms{Word<WeightForm>{"auto", WeightForm::automatic},
                                         Word<WeightForm>{"packed", WeightForm::packed},
                                         Word<WeightForm>{"expanded", WeightForm::expanded}};
inline constexpr std::array kFeatures{Word<HashFeature>{"token", HashFeature::token},
                                      Word<HashFeature>{"position", HashFeature::position},
                                      Word<HashFeature>{"previous", HashFeature::previous},
                                      Word<HashFeature>{"bigram", HashFeature::bigram}};
inline constexpr std::array kModelLayers{Word<ModelLayers>{"hash", ModelLayers::hash},
                                         Word<ModelLayers>{"all", ModelLayers::all}};

/// Throws InputError, naming `name` and all words, where `word` is none of them.
template <typename Words>
auto choice(const Words& words, std::string_view word, const std::string& name) {
  std::string all;
  for (const auto& [text, value] : words) {
    if (text == word) return value;
    all += (all.empty() ? "" : ", ") + std::string(text);
  }
  throw InputError(name + ": '" + std::string(word) + "' is none of " + all);
}

template <typename Words, typename Choice>
std::string_view word_for(const Words& words, Choice choice) {
  for (const auto& [text, value] : words) {
    if (value == choice) return text;
  }
  return "?";
}

}  // namespace hashep::python
