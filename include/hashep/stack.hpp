// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hashep/backend.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/gate.hpp"
#include "hashep/matrix_view.hpp"
#include "hashep/model.hpp"
#include "hashep/placement.hpp"
#include "hashep/router.hpp"
#include "hashep/stack_shape.hpp"
#include "hashep/token_batch.hpp"
#include "hashep/training.hpp"
#include "hashep/weight_source.hpp"

namespace hashep {

class Context;

/// How a Stack computes. Alike on all ranks.
struct StackOptions {
  DType dtype = DType::f32;  ///< of x and y, and of the experts' products: f32 or bf16
  bool residual = true;      ///< a layer does x <- x + layer(x); else x <- layer(x)

  /// Which rank owns which experts: one for all layers, or one per layer. Empty:
  /// contiguous_placement.
  std::vector<Placement> placements = {};

  /// Tokens of the largest batch over all ranks that is expected: kernels for it are made with the
  /// Stack. 0: they are made when they are first needed, in `forward`.
  int64_t expected_tokens = 0;

  /// Batches whose planning exchange may be under way at once, at least 1: each takes a
  /// communicator and room for all ranks' counts. To submit more first completes the oldest.
  /// Batches that are planned and not yet run are not counted.
  int planning_depth = 2;

  bool overlap = true;       ///< experts compute while rows of other nodes travel
  bool node_reduce = false;  ///< several nodes: a node's contributions to a token return as one
                             ///< sum; fewer bytes, and not the same bits
  GemmLibrary gemm_library = GemmLibrary::automatic;  ///< of the experts' products
  WeightForm weight_form = WeightForm::automatic;     ///< of weights that are quantised

  /// Bytes of this rank for routed experts, and for reading them. Those that fit are held; others
  /// are read from their files (WeightSource::stored_expert) when a batch that needs them is run,
  /// ahead of the layers that use them. 0: all are held.
  int64_t weight_memory = 0;

  bool check_finite = true;  ///< refuse weights that are NaN or infinite

  /// Where it is set, weights are parameters in fp32 that can be trained: see Stack::backward.
  std::optional<TrainingOptions> training = {};
};

/// Memory of a Stack on this rank, in bytes.
struct StackBytes {
  int64_t weights = 0;  ///< packed, held once; with training twice, and parameters and gradients
  int64_t row_buffers = 0;  ///< of rows for this rank's experts: as the largest plan says
  int64_t shared_rows = 0;  ///< other ranks' row buffers that this rank uses in place
  int64_t workspace = 0;    ///< layer output, shared experts' output, weights per choice, and what
                            ///< backward uses
  int64_t scratch = 0;      ///< between the products of the experts

  bool operator==(const StackBytes&) const = default;
};

/// A batch that was submitted to a Stack. It holds the batch's plans, which are given back when the
/// last copy of it goes. May outlive its Stack, and is then of no use. All of it is local.
class Batch {
 public:
  Batch() = default;  ///< holds nothing

  /// This rank's tokens, as they were submitted.
  int64_t tokens() const { return tokens_; }

 private:
  friend class Stack;
  std::shared_ptr<const int64_t> ticket_;
  const void* stack_ = nullptr;
  int64_t tokens_ = 0;
};

/// A stack of expert-parallel mixture-of-experts layers with static routing: each rank owns some of
/// the experts, and all of them run it together. Routing needs token ids alone, so a batch is
/// planned, for all layers at once, when its ids are submitted: best before the batch that is being
/// computed is done. Used by one thread at a time, the one that may call MPI.
///
/// Outputs are equal to the bit at any number of ranks and with any transport and placement (but
/// node_reduce), for any split of the same global batch: the tokens of all ranks, in rank order.
///
/// All calls are collective unless they say they are local: all ranks make the same calls in the
/// same order. Where input is bad on one rank, all of them throw InputError and may go on.
class Stack {
 public:
  /// Routes by `router`, which must be the same on all ranks (Router::digest is compared), and
  /// reads this rank's weights, which are packed: `weights` may go afterwards. Throws InputError
  /// where the shape, an option, the placement or weights are not valid, and where ranks disagree
  /// on them; RunError where a rank is missing. Without layers that are routed ahead (a gate in all
  /// of them, or no routed experts) there is no router: null.
  Stack(const Context& context, const StackShape& shape, std::shared_ptr<const Router> router,
        const WeightSource& weights, StackOptions options = {});

  /// The same with a router by value.
  template <typename AnyRouter>
  requires std::derived_from<AnyRouter, Router> Stack(const Context& context,
                                                      const StackShape& shape, AnyRouter router,
                                                      const WeightSource& weights,
                                                      StackOptions options = {})
      : Stack(context, shape, std::make_shared<const AnyRouter>(std::move(router)), weights,
              std::move(options)) {}

  /// All of it from a published model: Stack(context, open_model("FOLDER")). Where open_model fails
  /// on some ranks only, the others wait for them until their deadline: see from_folder.
  Stack(const Context& context, const Model& model, StackOptions options = {});

  /// The same from its folder, which each rank opens; what goes wrong on one is thrown on all.
  static Stack from_folder(const Context& context, const std::string& folder,
                           StackOptions options = {}, const ModelOptions& model = {});

  /// Collective: waits for the other ranks to come here too, until the deadline.
  ~Stack();
  /// Drops it without waiting for other ranks: frees its experts, and leaves to MPI, until the
  /// process ends, what ranks can only give back together. It is then of no use. Local. For owners
  /// that let go of it at a moment of their own on each rank, as a garbage collector does.
  void abandon() noexcept;
  /// The other one is then of no use. Local.
  Stack(Stack&& other) noexcept;
  Stack& operator=(Stack&&) = delete;

  /// Begins to plan a batch, and returns at once: ids are routed, and the ranks' counts set out on
  /// their way. Ranks may submit different numbers of tokens, also none. Any number of batches may
  /// be under way. What the views point to is copied. Ids that the router refuses are told by the
  /// first `forward` or `plan` of the batch, on all ranks.
  [[nodiscard]] Batch submit(const TokenBatch& tokens);

  /// The same where every rank knows the tokens of all: nothing is exchanged. by_rank: [size], the
  /// same on all ranks.
  [[nodiscard]] Batch submit_all(std::span<const TokenBatch> by_rank);

  /// y <- the stack's output for x: [batch.tokens(), hidden_size] each, in host memory, of the
  /// options' dtype; y may be x, and else must not overlap it. Waits for the plan where it is not
  /// there yet. A batch may be run any number of times; batches may be run in any order. When it
  /// returns, y is written and x is no longer read. Throws InputError where ids were refused, on
  /// all ranks; InputError where x or y is not of this shape, before anything moves, on this rank
  /// alone; RunError where a rank does not come in time, after which the Stack is of no more use.
  void forward(const Batch& batch, ConstMatrixView x, MatrixView y);

  /// One layer by itself, for a caller that has something between layers: y <- layer(x), without a
  /// residual; all else as forward. layer: [0, num_layers). The batch's plans are those of all
  /// layers.
  void forward_layer(const Batch& batch, int64_t layer, ConstMatrixView x, MatrixView y);

  // Of a Stack with StackOptions::training. Else these throw InputError.

  /// forward, which keeps in `tape` what backward of this batch needs, in place of what it held.
  /// The same bits as without. Throws InputError on all ranks too where a rank's part does not
  /// begin at a gradient block (TrainingOptions).
  void forward(const Batch& batch, ConstMatrixView x, MatrixView y, Tape& tape);

  /// dx <- the gradient of forward's x, dy being that of its y: [batch.tokens(), hidden_size] each,
  /// in host memory, of the options' dtype; dx may be dy, and else must not overlap it. Adds to the
  /// gradients of parameters: those of this rank's experts at once, those of what all ranks hold
  /// when sum_gradients is called. Uses the tape up, which forward of this batch has filled
  /// (InputError on this rank alone where it has not). Any number of batches may be in between,
  /// each with a tape of its own. Equal to the bit at any number of ranks, as forward is, for one
  /// gradient_block.
  void backward(const Batch& batch, Tape& tape, ConstMatrixView dy, MatrixView dx);

  /// forward_layer, which keeps in `tape` what backward_layer needs, in place of what it held of
  /// this layer; a tape has room for all layers of a batch.
  void forward_layer(const Batch& batch, int64_t layer, ConstMatrixView x, MatrixView y,
                     Tape& tape);
  /// dx <- the gradient of forward_layer's x, dy being that of its y; dx may be dy. All else as
  /// backward: uses the tape's part of the layer up.
  void backward_layer(const Batch& batch, int64_t layer, Tape& tape, ConstMatrixView dy,
                      MatrixView dx);

  /// Bytes that a tape takes for a batch on this rank. Waits for the plan where it is not there
  /// yet. With a gate it is known once forward has run; before that, InputError.
  int64_t tape_bytes(const Batch& batch);

  /// This rank's parameters, layer by layer: those of its experts, then what all ranks hold alike.
  /// They may be changed, and must be alike where all ranks hold them; pack_parameters makes it
  /// known. An expert without tokens has the gradient 0. Local.
  std::vector<Parameter> parameters();

  /// What StackShape::gate's losses are for a batch whose forward has filled `tape`: the same on
  /// all ranks. To be called before its backward.
  GateLosses gate_losses(const Batch& batch, const Tape& tape);

  /// Adds to the gradients of what all ranks hold what batches have left since the last call.
  void sum_gradients();
  /// Sets all gradients to 0. Local.
  void clear_gradients();
  /// To be called when parameters have changed: rounds them to the options' dtype and packs them.
  /// Local.
  void pack_parameters();

  /// What moves in one layer of a batch, as this rank sees it: valid as long as the batch. Waits
  /// for the plan where it is not there yet. layer: [0, num_layers); of one with a gate, once
  /// forward has run (the last one's plan), and InputError before.
  const ExchangePlan& plan(const Batch& batch, int64_t layer);

  /// Its shape. Local.
  const StackShape& shape() const;
  /// Its options, with the placement of each layer. Local.
  const StackOptions& options() const;
  /// How rows move: "shm", "hier" or "mpi". Local.
  std::string_view transport() const;
  /// What the experts' products run on, one line. Local.
  std::string_view implementation() const;

  /// Memory that it holds now. Local.
  StackBytes memory() const;

  /// Private to the library.
  class Impl;
  /// Private to the library.
  const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  Batch hold(int64_t step, int64_t tokens);
  int64_t step_of(const Batch& batch) const;

  std::shared_ptr<Impl> impl_;
};

}  // namespace hashep
