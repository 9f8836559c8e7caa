// SPDX-License-Identifier: Apache-2.0
#include "launch/process/backend_words.hpp"

namespace hashep {
namespace {

constexpr Word<Device> kDevices[] = {
    {"auto", Device::automatic}, {"cpu", Device::cpu}, {"cuda", Device::cuda}};

constexpr Word<TransportKind> kTransports[] = {
    {"auto", TransportKind::automatic}, {"mpi", TransportKind::mpi},   {"shm", TransportKind::shm},
    {"hier", TransportKind::hier},      {"nccl", TransportKind::nccl}, {"ipc", TransportKind::ipc}};

constexpr Word<GemmLibrary> kGemmLibraries[] = {
    {"auto", GemmLibrary::automatic}, {"onednn", GemmLibrary::onednn}, {"xsmm", GemmLibrary::xsmm}};

constexpr Word<WeightForm> kWeightForms[] = {{"auto", WeightForm::automatic},
                                             {"packed", WeightForm::packed},
                                             {"expanded", WeightForm::expanded}};

constexpr Word<GemmGrouping> kExpertGemms[] = {{"per-expert", GemmGrouping::per_expert},
                                               {"grouped", GemmGrouping::grouped},
                                               {"fused", GemmGrouping::fused}};

constexpr Word<GraphMode> kGraphs[] = {
    {"auto", GraphMode::automatic}, {"on", GraphMode::on}, {"off", GraphMode::off}};

constexpr Word<std::optional<Landing>> kLandings[] = {
    {"auto", std::nullopt}, {"direct", Landing::direct}, {"unpack", Landing::unpack}};

constexpr Word<DType> kDTypes[] = {{"fp32", DType::f32}, {"bf16", DType::bf16}};

constexpr Word<bool> kSwitch[] = {{"on", true}, {"off", false}};
constexpr Word<bool> kAutomatic[] = {{"auto", true}, {"off", false}};

}  // namespace

std::span<const Word<Device>> device_words() {
  return kDevices;
}
std::span<const Word<TransportKind>> transport_words() {
  return kTransports;
}
std::span<const Word<GemmLibrary>> gemm_library_words() {
  return kGemmLibraries;
}
std::span<const Word<WeightForm>> weight_form_words() {
  return kWeightForms;
}
std::span<const Word<GemmGrouping>> expert_gemm_words() {
  return kExpertGemms;
}
std::span<const Word<GraphMode>> graph_words() {
  return kGraphs;
}
std::span<const Word<std::optional<Landing>>> landing_words() {
  return kLandings;
}
std::span<const Word<DType>> dtype_words() {
  return kDTypes;
}
std::span<const Word<bool>> switch_words() {
  return kSwitch;
}
std::span<const Word<bool>> automatic_words() {
  return kAutomatic;
}

}  // namespace hashep
