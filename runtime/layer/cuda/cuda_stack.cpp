// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/cuda/cuda_stack.hpp"

#include <algorithm>
#include <bit>
#include <exception>
#include <string>

#include "comm/exchange/local_device_transport.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

// Gate, shared experts, combine; dispatch and experts of each part.
constexpr int64_t kPhasesPerLayer = 3 + 2 * Exchange::kMaxParts;

/// Rows that a step of so many tokens covers where one graph is to serve steps of about as many: up
/// to an eighth more.
int64_t in_buckets(int64_t tokens) {
  const auto step = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(tokens))) / 8;
  return step == 0 ? tokens : (tokens + step - 1) / step * step;
}

StackExperts<DeviceExpertFfn> make_experts(const ModelConfig& config,
                                           std::span<const Placement> placements, int ep_rank,
                                           const CudaExecOptions& options, const CublasLtHandle& lt,
                                           GemmLanes& lanes) {
  StackExperts<DeviceExpertFfn> experts{
      DeviceExpertFfn(config.routed_shape(), options.dtype,
                      count_local_experts(placements, ep_rank), options.grouping, lt, lanes),
      std::nullopt};
  if (config.num_shared_experts > 0) {
    experts.shared.emplace(config.shared_shape(), options.dtype, std::ssize(placements),
                           GemmGrouping::per_expert, lt, lanes);
  }
  return experts;
}

/// Keeps what may still be read and written until the process ends.
template <typename T>
void leave(T object) {
  static auto* const left = new std::vector<T>;
  left->push_back(std::move(object));
}

std::string describe_gemms(const CudaExecOptions& options) {
  const size_t version = cublasLtGetVersion();
  const std::string text = "cuBLAS " + std::to_string(version / 10000) + "." +
                           std::to_string(version % 10000 / 100) + "." +
                           std::to_string(version % 100) + ", ";
  if (options.grouping == GemmGrouping::grouped) return text + "grouped GEMMs";
  if (options.grouping == GemmGrouping::fused) return text + "fused GEMMs by CUTLASS";
  return text + "a GEMM per expert on " + std::to_string(options.lanes) + " streams";
}

}  // namespace

CudaStack::CudaStack(const ModelConfig& config, const WeightSource& weights,
                     std::span<const Placement> placements, int ep_rank,
                     const CudaExecOptions& options, std::unique_ptr<Transport> transport)
    : config_(config),
      options_(options),
      implementation_(describe_gemms(options)),
      transport_(transport ? std::move(transport) : std::make_unique<LocalDeviceTransport>()),
      exchange_(CudaStream::Priority::highest),
      before_free_([this] {
        transport_->wait_for(stream_);
        graphs_.drop_graphs();
      }),
      lanes_(options.lanes, options.workspace_bytes, before_free_),
      experts_(make_experts(config, placements, ep_rank, options, lt_, lanes_)),
      graphs_(options.graph) {
  layers_.reserve(placements.size());
  for_each_layer(placements, ep_rank,
                 [&](int64_t layer, std::span<const int32_t> local_experts, int64_t first_expert) {
                   layers_.emplace_back(config, layer, local_experts, first_expert, weights,
                                        options.reading, experts_);
                 });
  const int64_t phases = kPhasesPerLayer * std::ssize(placements);
  for (int i = 0; i < options.plans; ++i) {
    slots_.emplace_back(DevicePlan(*transport_, std::ssize(placements)),
                        GpuPhaseTimer(phases, options.timed, options.observer));
  }
}

CudaStack::~CudaStack() {
  // Buffers go with this object; what still reads and writes them has to be done first. Where an
  // error unwinds, other ranks may never do their part of it. Graphs go before what they hold.
  const bool fails = std::uncaught_exceptions() > 0;
  if (fails) transport_->begin_abort();
  graphs_.drop_graphs();
  const bool is_over = !fails || transport_->end_abort();
  try {
    uploads_.synchronize();
    exchange_.synchronize();
    stream_.synchronize();
  } catch (const std::exception&) {
    // The GPU has failed, and whoever waited for it has said so.
  }
  if (!is_over) {
    leave(std::move(transport_));
    leave(std::move(slots_));
  }
}

void CudaStack::set_input(ConstMatrixView x) {
  if (std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.is_pending; })) {
    throw RunError("GPU stack: a new input while a step is prepared and not run");
  }
  tokens_ = x.rows;
  host_state_.reserve(x.bytes());
  const int64_t bytes = covered_rows(tokens_) * x.row_bytes();
  input_.reserve(bytes, before_free_);
  std::copy_n(x.data, x.bytes(), host_state_.data());
  copy_async(input_.data(), host_state_.data(), x.bytes(), stream_);
  fill_async(input_.data() + x.bytes(), 0, bytes - x.bytes(), stream_);
  stream_.synchronize();
}

bool CudaStack::reads_counts_on_gpu() const {
  return options_.grouping == GemmGrouping::fused && transport_->reads_counts_on_gpu();
}

/// Rows of tokens that kernels are launched for.
int64_t CudaStack::covered_rows(int64_t tokens) const {
  const bool serves_others = options_.graph != GraphMode::off && reads_counts_on_gpu();
  return serves_others ? in_buckets(tokens) : tokens;
}

int64_t CudaStack::state_rows(const Slot& slot) const {
  return std::max(slot.tiles.lead + slot.rows, slot.tiles.rows());
}

CudaStack::Slot& CudaStack::free_slot() {
  // The oldest: phases of the newer ones may not have been read yet.
  const auto by_step = [](const Slot& a, const Slot& b) { return a.step < b.step; };
  Slot& slot = *std::min_element(slots_.begin(), slots_.end(), by_step);
  if (slot.is_pending || !slot.plan.is_done()) {
    throw RunError("GPU stack: more than " + std::to_string(options_.plans) +
                   " steps prepared and not done");
  }
  return slot;
}

const CudaStack::Slot& CudaStack::slot_of(int64_t step) const {
  const auto slot = std::find_if(slots_.begin(), slots_.end(),
                                 [step](const Slot& entry) { return entry.step == step; });
  if (slot == slots_.end()) {
    throw RunError("GPU stack: step " + std::to_string(step) + " was not prepared");
  }
  return *slot;
}

CudaStack::Slot& CudaStack::slot_of(int64_t step) {
  return const_cast<Slot&>(std::as_const(*this).slot_of(step));
}

bool CudaStack::reserve(const Slot& slot) {
  const BatchPlan& plan = *slot.batch;
  const int64_t row_bytes = config_.hidden_size * dtype_size(options_.dtype);
  int64_t recv = 0;
  int64_t assignments = 0;
  for (const ExchangePlan& layer : plan.layers) {
    recv = std::max(recv, layer.total_recv());
    assignments = std::max(assignments, slot.rows * layer.top_k);
  }
  bool moved = transport_->reserve(plan.layers, options_.dtype, config_.hidden_size, before_free_);
  moved |= experts_.routed.reserve(recv);
  if (options_.residual) {
    moved |= workspace_.output.reserve(slot.rows * row_bytes, before_free_);
  }
  if (config_.score != Score::none) {
    moved |= workspace_.weights.reserve(assignments * dtype_size(DType::f32), before_free_);
  }
  const int64_t state_bytes = state_rows(slot) * row_bytes;
  if (state_.reserve(state_bytes, before_free_)) {
    moved = true;
    // Rows that no token stands in are computed too, and their results thrown away.
    fill_async(state_.data(), 0, state_.capacity(), stream_);
  }
  if (experts_.shared) moved |= workspace_.shared.reserve(state_bytes, before_free_);
  return moved;
}

bool CudaStack::fill(Slot& slot) {
  const BatchPlan& batch = *slot.batch;
  bool moved = reserve(slot);
  slot.plan.begin(batch, slot.rows);
  for (size_t i = 0; i < layers_.size(); ++i) {
    DeviceLayerPlan& plan = slot.plan.layers()[i];
    moved |= layers_[i].prepare(batch.layers[i].expert_offsets, slot.tiles, plan);
  }
  moved |= slot.plan.upload(uploads_, before_free_);
  return moved;
}

void CudaStack::describe(Slot& slot) const {
  const BatchPlan& batch = *slot.batch;
  slot.shape.assign({&slot - slots_.data(), slot.rows, slot.tiles.tile_rows, slot.tiles.lead,
                     slot.tiles.num_tiles});
  for (size_t i = 0; i < layers_.size(); ++i) {
    slot.shape.push_back(batch.layers[i].top_k);
    slot.shape.push_back(slot.plan.layers()[i].exchange->num_parts());
  }
  if (reads_counts_on_gpu()) return;
  slot.shape.push_back(static_cast<int64_t>(batch.counts_digest));
  for (const ExchangePlan& layer : batch.layers) {
    slot.shape.insert(slot.shape.end(), layer.expert_offsets.begin(), layer.expert_offsets.end());
  }
}

void CudaStack::find_graph(Slot& slot) {
  slot.graph = nullptr;
  if (!transport_->can_capture()) return;
  slot.graph = graphs_.get(slot.shape, stream_, [&] { enqueue(slot); });
}

void CudaStack::prepare(const BatchPlan& plan) {
  const auto tokens = plan.tokens;
  if (tokens != tokens_) {
    throw RunError("GPU stack: a batch of " + std::to_string(tokens) + " tokens, and an input of " +
                   std::to_string(tokens_));
  }
  Slot& slot = free_slot();
  slot.step = plan.step;
  slot.batch = &plan;
  slot.rows = covered_rows(tokens);
  slot.tiles = {};
  if (experts_.shared) {
    slot.tiles = shared_tiles(plan.first_token, slot.rows, plan.global_tokens);
  }
  bool moved = fill(slot);
  describe(slot);
  slot.is_pending = true;
  // NCCL wants all ranks to capture a step, or none, and a replay is of one capture. On some rank a
  // shape that is new may move memory, one that was met does so on none.
  if (plan.layers.front().ep_size > 1 && !reads_counts_on_gpu()) {
    moved |= !graphs_.knows(slot.shape);
  }
  if (!moved) return find_graph(slot);
  // Addresses that others have noted are void. Where memory went, graphs went before it.
  graphs_.drop_graphs();
  for (Slot& other : slots_) {
    if (!other.is_pending) continue;
    if (&other != &slot) fill(other);
    find_graph(other);
  }
}

DeviceState CudaStack::state_of(const Slot& slot) const {
  const MatrixView tiles = state_.matrix(options_.dtype, state_rows(slot), config_.hidden_size);
  return {tiles, tiles.slice(slot.tiles.lead, slot.rows)};
}

LayerStreams CudaStack::streams() const {
  // On one rank too the gate and the shared experts read what dispatch reads, and no more.
  const bool beside = transport_->overlaps() || config_.score != Score::none || experts_.shared;
  const bool apart = options_.overlap && beside;
  return {stream_, apart ? exchange_.get() : stream_.get(), &events_};
}

void CudaStack::enqueue(Slot& slot) {
  slot.timer.begin(slot.step, stream_);
  const DeviceState x = state_of(slot);
  copy_async(x.rows.data, input_.data(), x.rows.bytes(), stream_);
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].enqueue(slot.plan.layers()[i], x, workspace_, slot.timer, streams());
  }
  slot.timer.end(stream_);
}

void CudaStack::run(int64_t step) {
  Slot& slot = slot_of(step);
  if (!slot.is_pending) {
    throw RunError("GPU stack: step " + std::to_string(step) + " was run already");
  }
  slot.is_pending = false;
  const NvtxRange range(phase_name(Phase::step));
  slot.plan.wait_uploaded(stream_);
  if (slot.graph != nullptr) {
    slot.graph->launch(stream_);
  } else {
    enqueue(slot);
  }
  slot.plan.used(stream_);
  last_step_ = step;
}

bool CudaStack::is_done(int64_t step) const {
  transport_->check();
  const Slot& slot = slot_of(step);
  return !slot.is_pending && slot.plan.is_done();
}

Position CudaStack::position(int64_t step) const {
  Position position{Phase::step, step, -1};
  position.phase = slot_of(step).timer.phase_under_way(position.layer);
  return position;
}

std::span<const PhaseSpan> CudaStack::phases(int64_t step) {
  return slot_of(step).timer.spans();
}

void CudaStack::fetch() {
  const MatrixView x = state_of(slot_of(last_step_)).rows.slice(0, tokens_);
  copy_async(host_state_.data(), x.data, x.bytes(), stream_);
  fetched_.record(stream_);
}

ConstMatrixView CudaStack::fetched() const {
  return host_state_.matrix(options_.dtype, tokens_, config_.hidden_size);
}

CudaStackMemory CudaStack::memory() const {
  CudaStackMemory memory;
  memory.weights = experts_.routed.weight_bytes();
  memory.scratch = experts_.routed.scratch_bytes() + lanes_.bytes();
  if (experts_.shared) memory.weights += experts_.shared->weight_bytes();
  for (const CudaMoeLayer& layer : layers_) memory.weights += layer.gate_bytes();
  memory.row_buffers = transport_->buffer_bytes();
  memory.shared_rows = transport_->shared_bytes();
  memory.workspace = input_.capacity() + state_.capacity() + workspace_.output.capacity() +
                     workspace_.shared.capacity() + workspace_.weights.capacity();
  for (const Slot& slot : slots_) memory.plans += slot.plan.bytes();
  return memory;
}

}  // namespace hashep
