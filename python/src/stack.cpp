// SPDX-License-Identifier: Apache-2.0
#include "python/src/stack.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <chrono>

#include "hashep/error.hpp"
#include "hashep/model.hpp"
#include "python/src/routing.hpp"
#include "python/src/training.hpp"
#include "python/src/words.hpp"

namespace hashep::python {
namespace {

/// y of a call that was given none: an array like x.
nb::object array_like(nb::handle x, nb::handle y) {
  if (!y.is_none()) return nb::borrow(y);
  if (nb::hasattr(x, "new_empty")) return x.attr("new_empty")(x.attr("shape"));  // torch
  return nb::module_::import_("numpy").attr("empty_like")(x);
}

nb::object forward(PythonStack& self, const Batch& batch, nb::handle x, nb::handle y, Tape* tape) {
  nb::object out = array_like(x, y);
  const InputMatrix from = input_matrix(x, "x");
  const OutputMatrix to = output_matrix(out, "y");
  self.call([&](Stack& stack) {
    if (tape == nullptr) return stack.forward(batch, from.view, to.view);
    stack.forward(batch, from.view, to.view, *tape);
  });
  return out;
}

nb::object forward_layer(PythonStack& self, const Batch& batch, int64_t layer, nb::handle x,
                         nb::handle y, Tape* tape) {
  nb::object out = array_like(x, y);
  const InputMatrix from = input_matrix(x, "x");
  const OutputMatrix to = output_matrix(out, "y");
  self.call([&](Stack& stack) {
    if (tape == nullptr) return stack.forward_layer(batch, layer, from.view, to.view);
    stack.forward_layer(batch, layer, from.view, to.view, *tape);
  });
  return out;
}

nb::object backward(PythonStack& self, const Batch& batch, Tape& tape, nb::handle dy,
                    nb::handle dx) {
  nb::object out = array_like(dy, dx);
  const InputMatrix from = input_matrix(dy, "dy");
  const OutputMatrix to = output_matrix(out, "dx");
  self.call([&](Stack& stack) { stack.backward(batch, tape, from.view, to.view); });
  return out;
}

nb::object backward_layer(PythonStack& self, const Batch& batch, int64_t layer, Tape& tape,
                          nb::handle dy, nb::handle dx) {
  nb::object out = array_like(dy, dx);
  const InputMatrix from = input_matrix(dy, "dy");
  const OutputMatrix to = output_matrix(out, "dx");
  self.call([&](Stack& stack) { stack.backward_layer(batch, layer, tape, from.view, to.view); });
  return out;
}

/// Seconds that so many steps take without Python: what benchmarks/python_calls.py sets its own
/// beside.
double time_layer_steps(PythonStack& self, const Batch& batch, nb::handle x, nb::handle y,
                        Tape* tape, int64_t steps) {
  const OutputMatrix from = output_matrix(x, "x");
  const OutputMatrix to = output_matrix(y, "y");
  return self.call([&](Stack& stack) {
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < steps; ++i) {
      if (tape == nullptr) {
        stack.forward_layer(batch, 0, from.view, to.view);
      } else {
        stack.forward_layer(batch, 0, from.view, to.view, *tape);
        stack.backward_layer(batch, 0, *tape, to.view, to.view);
      }
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  });
}

Batch submit(PythonStack& self, const PythonTokens& tokens) {
  return self.call([&](Stack& stack) { return stack.submit(tokens.get()); });
}

void bind_shapes(nb::module_& module) {
  nb::class_<Gate>(
      module, "Gate",
      R"(A learned gate, which routes in the layer (the baseline that static routing is compared with).

kind: "softmax_top_k" (Switch; softmax, the k largest) or "noaux_tc" (DeepSeek-V3).
first_layer: layers before it are routed ahead, by the stack's router.)")
      .def(
          "__init__",
          [](Gate* self, const std::string& kind, int64_t first_layer) {
            new (self) Gate{choice(kGateKinds, kind, "kind"), first_layer};
          },
          nb::arg("kind") = "softmax_top_k", nb::kw_only(), nb::arg("first_layer") = 0)
      .def_prop_ro("kind", [](const Gate& self) { return word_for(kGateKinds, self.kind); })
      .def_ro("first_layer", &Gate::first_layer)
      .def(
          "__eq__", [](const Gate& a, const Gate& b) { return a == b; }, nb::is_operator(), kEqual);

  nb::class_<StackShape>(module, "StackShape",
                         R"(The sizes of a stack of layers, alike on all ranks.

num_layers: one after the other. hidden_size: d. ffn_size: f, of an expert's inner activation.
num_experts: routed experts of a layer, over all ranks; 0: a dense stack of shared experts alone.
top_k: distinct routed experts of a token. num_shared_experts: on every rank, for every token.
activation: "silu" (SwiGLU, with w3), "gelu" or "relu". swiglu_limit: clamps silu's operands; 0: no.
score: weights of a token's experts: "none" (1/top_k each), "sqrtsoftplus" or "sigmoid" (by a gate
matrix). gate: which layers a learned gate routes; None: none.)")
      .def(
          "__init__",
          [](StackShape* self, int64_t num_layers, int64_t hidden_size, int64_t ffn_size,
             int64_t num_experts, int top_k, int64_t num_shared_experts,
             const std::string& activation, float swiglu_limit, const std::string& score,
             float routed_scaling_factor, const std::optional<Gate>& gate) {
            new (self) StackShape{.num_layers = num_layers,
                                  .hidden_size = hidden_size,
                                  .ffn_size = ffn_size,
                                  .num_experts = num_experts,
                                  .top_k = num_experts == 0 ? 0 : top_k,
                                  .num_shared_experts = num_shared_experts,
                                  .activation = choice(kActivations, activation, "activation"),
                                  .swiglu_limit = swiglu_limit,
                                  .score = choice(kScores, score, "score"),
                                  .routed_scaling_factor = routed_scaling_factor,
                                  .gate = gate};
          },
          nb::kw_only(), nb::arg("num_layers"), nb::arg("hidden_size"), nb::arg("ffn_size"),
          nb::arg("num_experts"), nb::arg("top_k") = 1, nb::arg("num_shared_experts") = 0,
          nb::arg("activation") = "silu", nb::arg("swiglu_limit") = 0.0f, nb::arg("score") = "none",
          nb::arg("routed_scaling_factor") = 1.0f, nb::arg("gate").none() = nb::none())
      .def_ro("num_layers", &StackShape::num_layers)
      .def_ro("hidden_size", &StackShape::hidden_size)
      .def_ro("ffn_size", &StackShape::ffn_size)
      .def_ro("num_experts", &StackShape::num_experts)
      .def_ro("top_k", &StackShape::top_k)
      .def_ro("num_shared_experts", &StackShape::num_shared_experts)
      .def_prop_ro("activation",
                   [](const StackShape& self) { return word_for(kActivations, self.activation); })
      .def_ro("swiglu_limit", &StackShape::swiglu_limit)
      .def_prop_ro("score", [](const StackShape& self) { return word_for(kScores, self.score); })
      .def_ro("routed_scaling_factor", &StackShape::routed_scaling_factor)
      .def_ro("gate", &StackShape::gate)
      .def("has_gate", &StackShape::has_gate, nb::arg("layer"), "Whether a gate routes a layer.")
      .def(
          "__eq__", [](const StackShape& a, const StackShape& b) { return a == b; },
          nb::is_operator(), kEqual);
}

void bind_options(nb::module_& module) {
  nb::class_<StackArguments>(module, "StackOptions", R"(How a Stack computes, alike on all ranks.

dtype: of x and y, and of the experts' products: "float32" or "bfloat16".
residual: a layer does x <- x + layer(x), else x <- layer(x).
placements: which rank owns which experts, one for all layers or one a layer; None: contiguous.
expected_tokens: of the largest batch over all ranks; kernels for it are made ahead.
planning_depth: batches whose planning exchange may be under way at once.
overlap: experts compute while rows of other nodes travel.
node_reduce: a node's contributions to a token return as one sum; fewer bytes, not the same bits.
gemm_library: "auto", "onednn" or "xsmm".
weight_form: of quantised weights in memory: "packed", as they are stored, "expanded", or "auto",
packed where they are not trained.
weight_memory: bytes of this rank for routed experts; those that do not fit are read from their files
when they are needed; 0: all are held. check_finite: refuse weights that are NaN or infinite.
training: TrainingOptions, for weights that can be trained; None: they can not.)")
      .def(
          "__init__",
          [](StackArguments* self, const std::string& dtype, bool residual,
             std::optional<std::vector<Placement>> placements, int64_t expected_tokens,
             int planning_depth, bool overlap, bool node_reduce, const std::string& gemm_library,
             const std::string& weight_form, int64_t weight_memory, bool check_finite,
             std::optional<TrainingOptions> training) {
            new (self) StackArguments{dtype,           residual,       std::move(placements),
                                      expected_tokens, planning_depth, overlap,
                                      node_reduce,     gemm_library,   weight_form,
                                      weight_memory,   check_finite,   training};
            choice(kDTypes, dtype, "dtype");
            choice(kGemmLibraries, gemm_library, "gemm_library");
            choice(kWeightForms, weight_form, "weight_form");
          },
          nb::kw_only(), nb::arg("dtype") = "float32", nb::arg("residual") = true,
          nb::arg("placements").none() = nb::none(), nb::arg("expected_tokens") = 0,
          nb::arg("planning_depth") = 2, nb::arg("overlap") = true, nb::arg("node_reduce") = false,
          nb::arg("gemm_library") = "auto", nb::arg("weight_form") = "auto",
          nb::arg("weight_memory") = 0, nb::arg("check_finite") = true,
          nb::arg("training").none() = nb::none());
}

void bind_models(nb::module_& module) {
  nb::class_<Model>(module, "Model", "Layers of a published model: all that a Stack is made from.")
      .def_ro("shape", &Model::shape, "Of its layers.")
      .def_ro("vocab_size", &Model::vocab_size, "Ids are in [0, this).")
      .def_prop_ro(
          "router", [](const Model& self) { return std::const_pointer_cast<Router>(self.router); },
          "The folder's tables, or the hash it names; None where no layer is routed ahead.")
      .def_prop_ro(
          "weights",
          [](const Model& self) { return std::const_pointer_cast<WeightSource>(self.weights); },
          "Reads the bytes of experts that are asked for.")
      .def_ro("unused_tensors", &Model::unused_tensors);
  module.def(
      "open_model",
      [](const std::string& folder, const std::string& layers, bool accept_unused) {
        return open_model(folder, {choice(kModelLayers, layers, "layers"), accept_unused});
      },
      nb::arg("folder"), nb::kw_only(), nb::arg("layers") = "hash",
      nb::arg("accept_unused") = false,
      "Opens a folder with config.json and *.safetensors (DeepSeek-V4's names or transformers').\n"
      "layers: \"hash\", or \"all\" with those of a learned gate and dense ones. Local.");
}

void bind_batches(nb::module_& module) {
  nb::class_<Batch>(module, "Batch",
                    "A batch that was submitted to a Stack; it holds the batch's plans.")
      .def_prop_ro("tokens", &Batch::tokens, "This rank's tokens.");
  nb::class_<StackBytes>(module, "StackBytes", "Memory of a Stack on this rank, in bytes.")
      .def_ro("weights", &StackBytes::weights)
      .def_ro("row_buffers", &StackBytes::row_buffers)
      .def_ro("shared_rows", &StackBytes::shared_rows)
      .def_ro("workspace", &StackBytes::workspace)
      .def_ro("scratch", &StackBytes::scratch);
}

constexpr const char* kStackDoc = R"(A stack of expert-parallel mixture-of-experts layers.

Each rank owns some of the experts, and all ranks make the same calls in the same order. A batch is
planned, for all layers at once, when its ids are submitted: best before the batch that is computed
is done. Outputs are equal to the bit at any number of ranks. Where input is bad on one rank, all of
them raise InputError and may go on.

x, y and gradients are [tokens, hidden_size] arrays in host memory (numpy, torch, DLPack), C order,
of the stack's dtype: "float32" or "bfloat16" (numpy: uint16 with the same bits). They are used in
place, never copied. `tokens` may be spread over several dimensions.)";

template <typename Class>
void bind_running(Class& bound) {
  bound
      .def("submit", &submit, nb::arg("tokens"),
           "Begins to plan a batch (TokenBatch) and returns at once.")
      .def(
          "submit",
          [](PythonStack& self, nb::handle ids, int64_t seq_len, int64_t first_position,
             int32_t previous_id, nb::handle positions, nb::handle previous_ids) {
            return submit(self, PythonTokens(ids, seq_len, first_position, previous_id, positions,
                                             previous_ids));
          },
          nb::arg("ids"), nb::kw_only(), nb::arg("seq_len") = 0, nb::arg("first_position") = 0,
          nb::arg("previous_id") = -1, nb::arg("positions").none() = nb::none(),
          nb::arg("previous_ids").none() = nb::none(),
          "The same from token ids: [tokens] integers, see TokenBatch. Ranks may submit different\n"
          "numbers of tokens, also none.")
      .def(
          "submit_all",
          [](PythonStack& self, const std::vector<PythonTokens*>& batches) {
            const std::vector<TokenBatch> by_rank = token_batches(batches);
            return self.call([&](Stack& stack) { return stack.submit_all(by_rank); });
          },
          nb::arg("batches_by_rank"),
          "The same where every rank knows the tokens of all: nothing is exchanged.")
      .def("forward", &forward, nb::arg("batch"), nb::arg("x"), nb::arg("y").none() = nb::none(),
           nb::arg("tape").none() = nb::none(),
           "y <- the stack's output for x; y may be x, and is made where there is none. With a "
           "tape\n"
           "it keeps what backward needs. Returns y.")
      .def("forward_layer", &forward_layer, nb::arg("batch"), nb::arg("layer"), nb::arg("x"),
           nb::arg("y").none() = nb::none(), nb::arg("tape").none() = nb::none(),
           "The same for one layer by itself, without a residual.")
      .def("backward", &backward, nb::arg("batch"), nb::arg("tape"), nb::arg("dy"),
           nb::arg("dx").none() = nb::none(),
           "dx <- the gradient of forward's x, dy being that of its y; dx may be dy. Adds to the\n"
           "gradients of parameters. Uses the tape up. Returns dx.")
      .def("backward_layer", &backward_layer, nb::arg("batch"), nb::arg("layer"), nb::arg("tape"),
           nb::arg("dy"), nb::arg("dx").none() = nb::none(),
           "The same for one layer by itself, after forward_layer with the tape.")
      .def(
          "plan",
          [](PythonStack& self, const Batch& batch, int64_t layer) {
            return self.call([&](Stack& stack) { return ExchangePlan(stack.plan(batch, layer)); });
          },
          nb::arg("batch"), nb::arg("layer"), "What moves in one layer of a batch: a copy.")
      .def("_time_layer_steps", &time_layer_steps, nb::arg("batch"), nb::arg("x"), nb::arg("y"),
           nb::arg("tape").none(), nb::arg("steps"));
}

template <typename Class>
void bind_training_calls(Class& bound) {
  bound
      .def(
          "tape_bytes",
          [](PythonStack& self, const Batch& batch) {
            return self.call([&](Stack& stack) { return stack.tape_bytes(batch); });
          },
          nb::arg("batch"), "Bytes that a tape takes for a batch on this rank.")
      .def(
          "gate_losses",
          [](PythonStack& self, const Batch& batch, const Tape& tape) {
            const GateLosses losses =
                self.call([&](Stack& stack) { return stack.gate_losses(batch, tape); });
            return std::pair(losses.balance, losses.z);
          },
          nb::arg("batch"), nb::arg("tape"),
          "(balance, z): the losses of gates for a batch whose forward has filled `tape`, summed\n"
          "over layers; the same on all ranks. To be called before its backward. Collective.")
      .def(
          "sum_gradients",
          [](PythonStack& self) { self.call([](Stack& stack) { stack.sum_gradients(); }); },
          "Adds to the gradients of what all ranks hold what batches have left since the last "
          "call.\n"
          "Collective.")
      .def(
          "clear_gradients", [](PythonStack& self) { self.get().clear_gradients(); },
          "Sets all gradients to 0. Local.")
      .def(
          "pack_parameters",
          [](PythonStack& self) { self.call([](Stack& stack) { stack.pack_parameters(); }); },
          "To be called when parameters have changed. Local.")
      .def("parameters", &parameters_of,
           "This rank's parameters, as views of the stack's memory. Local.");
}

}  // namespace

StackOptions StackArguments::options() const {
  return {.dtype = choice(kDTypes, dtype, "dtype"),
          .residual = residual,
          .placements = placements.value_or(std::vector<Placement>()),
          .expected_tokens = expected_tokens,
          .planning_depth = planning_depth,
          .overlap = overlap,
          .node_reduce = node_reduce,
          .gemm_library = choice(kGemmLibraries, gemm_library, "gemm_library"),
          .weight_form = choice(kWeightForms, weight_form, "weight_form"),
          .weight_memory = weight_memory,
          .check_finite = check_finite,
          .training = training};
}

Stack& PythonStack::get() const {
  if (!stack_) throw InputError("the Stack is closed");
  return *stack_;
}

PythonStack::~PythonStack() = default;

std::shared_ptr<Stack> PythonStack::held(Stack stack) {
  return {new Stack(std::move(stack)), [](Stack* last) {
            last->abandon();
            delete last;
          }};
}

nb::object PythonStack::keeper() {
  get();
  return nb::capsule(new std::shared_ptr<Stack>(stack_), [](void* kept) noexcept {
    delete static_cast<std::shared_ptr<Stack>*>(kept);
  });
}

void PythonStack::close() {
  if (!stack_) return;
  // Where nobody else needs it, all ranks end it together.
  if (stack_.use_count() == 1) context().call([&] { const Stack last(std::move(*stack_)); });
  stack_.reset();
}

void PythonStack::close_at_exit() {
  if (stack_.use_count() > 1) {
    new std::shared_ptr<Stack>(std::move(stack_));  // until the process ends
    return;
  }
  close();
}

void bind_stack(nb::module_& module) {
  bind_shapes(module);
  bind_weights(module);
  bind_models(module);
  bind_options(module);
  bind_batches(module);
  bind_tapes(module);
  nb::class_<PythonStack> bound(module, "Stack", nb::is_weak_referenceable(), kStackDoc);
  bound
      .def(
          "__init__",
          [](PythonStack* self, nb::handle_t<PythonContext> context, const StackShape& shape,
             std::shared_ptr<Router> router, const WeightSource& weights,
             const StackArguments& options) {
            StackOptions made = options.options();
            new (self) PythonStack(context, [&](Context& ranks) {
              return Stack(ranks, shape, std::move(router), weights, std::move(made));
            });
          },
          nb::arg("context"), nb::arg("shape"), nb::arg("router").none(), nb::arg("weights"),
          nb::arg("options"), "Reads this rank's weights, which are packed. Collective.")
      .def(
          "__init__",
          [](PythonStack* self, nb::handle_t<PythonContext> context, const std::string& folder,
             const std::string& layers, bool accept_unused, const StackArguments& options) {
            StackOptions made = options.options();
            const ModelOptions model{choice(kModelLayers, layers, "layers"), accept_unused};
            new (self) PythonStack(context, [&](Context& ranks) {
              return Stack::from_folder(ranks, folder, std::move(made), model);
            });
          },
          nb::arg("context"), nb::arg("folder"), nb::arg("layers"), nb::arg("accept_unused"),
          nb::arg("options"), "The layers of a published model: see open_model. Collective.")
      .def_prop_ro("shape", [](const PythonStack& self) { return self.get().shape(); })
      .def_prop_ro(
          "placements", [](const PythonStack& self) { return self.get().options().placements; },
          "[num_layers] Placement.")
      .def_prop_ro(
          "dtype",
          [](const PythonStack& self) { return word_for(kDTypes, self.get().options().dtype); })
      .def_prop_ro("training",
                   [](const PythonStack& self) { return self.get().options().training; })
      .def_prop_ro(
          "transport", [](const PythonStack& self) { return self.get().transport(); },
          "How rows move: \"shm\", \"hier\" or \"mpi\".")
      .def_prop_ro(
          "implementation", [](const PythonStack& self) { return self.get().implementation(); },
          "What the experts' products run on, one line.")
      .def_prop_ro(
          "memory", [](const PythonStack& self) { return self.get().memory(); },
          "StackBytes. Local.")
      .def("close", &PythonStack::close,
           "Gives back what ranks share. Collective. Arrays of its parameters stay valid.")
      .def_prop_ro("is_closed", &PythonStack::is_closed)
      .def("_close_at_exit", &PythonStack::close_at_exit);
  bind_running(bound);
  bind_training_calls(bound);
}

}  // namespace hashep::python
