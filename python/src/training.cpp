// SPDX-License-Identifier: Apache-2.0
#include "python/src/training.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <utility>
#include <vector>

#include "hashep/adamw.hpp"
#include "hashep/checkpoint.hpp"
#include "hashep/error.hpp"
#include "hashep/reproducible_sum.hpp"
#include "python/src/arrays.hpp"

namespace hashep::python {
namespace {

/// A parameter and its gradient, as arrays.
struct PythonParameter {
  std::string name;
  int64_t layer;
  int64_t expert;
  nb::object value;
  nb::object gradient;

  /// Of the face, its views being valid as long as the arrays.
  Parameter get() const {
    const auto view = [&](const nb::object& array, const std::string& of) {
      const MatrixView matrix = output_matrix(array, name + of).view;
      if (matrix.dtype != DType::f32) throw InputError(name + of + ": is not float32");
      return matrix;
    };
    const Parameter parameter{name, layer, expert, view(value, ""), view(gradient, "'s gradient")};
    if (parameter.value.rows != parameter.gradient.rows ||
        parameter.value.cols != parameter.gradient.cols) {
      throw InputError(name + ": its gradient has another shape");
    }
    return parameter;
  }
};

/// For `parameter.value *= 2`, after which Python assigns what it was given.
void require_same(nb::handle assigned, nb::handle array) {
  if (!assigned.is(array))
    throw InputError("a parameter's array stays; write into it: value[:] = ...");
}

PythonParameter python_parameter(const Parameter& parameter, nb::handle owner) {
  return {parameter.name, parameter.layer, parameter.expert, numpy_view(parameter.value, owner),
          numpy_view(parameter.gradient, owner)};
}

/// An AdamW, and what has to live as long.
class PythonAdamW {
 public:
  PythonAdamW(nb::handle_t<PythonStack> stack, const AdamWOptions& options, const nb::list& others)
      : stack_(nb::borrow(stack)), others_(others) {
    PythonStack& on = this->stack();
    Stack& trained = on.get();
    std::vector<Parameter> all;
    for (nb::handle other : others) all.push_back(nb::cast<const PythonParameter&>(other).get());
    // The Stack must outlive it, also where it is closed.
    keeper_ = on.keeper();
    optimizer_ = on.context().call(
        [&] { return std::make_unique<AdamW>(trained, options, std::move(all)); });
  }

  AdamW& get() { return *optimizer_; }
  PythonStack& stack() const { return nb::cast<PythonStack&>(stack_); }

  double step(float learning_rate) {
    stack().get();
    return stack().context().call([&] { return optimizer_->step(learning_rate); });
  }

 private:
  nb::object stack_;
  nb::object others_;
  nb::object keeper_;
  std::unique_ptr<AdamW> optimizer_;
};

/// A ReproducibleSum, and its Context.
class PythonSum {
 public:
  PythonSum(nb::handle_t<PythonContext> context, int64_t rows, int64_t cols)
      : context_(nb::borrow(context)), sum_(on().get(), rows, cols) {}

  void add(nb::handle addend) {
    const InputMatrix from = input_matrix(addend, "addend");
    const nb::gil_scoped_release release;
    sum_.add(from.view);
  }

  nb::object finish(nb::handle out) {
    nb::object to = nb::borrow(out);
    if (out.is_none()) {
      to = numpy_array(std::vector<float>(static_cast<size_t>(sum_.rows() * sum_.cols())),
                       {static_cast<size_t>(sum_.rows()), static_cast<size_t>(sum_.cols())});
    }
    const OutputMatrix view = output_matrix(to, "out");
    on().call([&] { sum_.finish(view.view); });
    return to;
  }

 private:
  const PythonContext& on() const { return nb::cast<const PythonContext&>(context_); }

  nb::object context_;
  ReproducibleSum sum_;
};

}  // namespace

nb::list parameters_of(PythonStack& stack) {
  nb::list all;
  const nb::object owner = stack.keeper();
  for (const Parameter& each : stack.get().parameters()) {
    all.append(nb::cast(python_parameter(each, owner)));
  }
  return all;
}

void bind_tapes(nb::module_& module) {
  nb::class_<TrainingOptions>(module, "TrainingOptions",
                              R"(How a Stack is trained, alike on all ranks.

recompute: computes pre-activations again in backward: a smaller tape, the same bits.
gradient_block: tokens whose gradients of what all ranks hold (gates, shared experts) are made
  together before they are summed exactly; ranks' parts of a batch begin at multiples of it.
balance_loss, z_loss: factors of gates' losses. bias_step: of the biases of "noaux_tc" gates.)")
      .def(
          "__init__",
          [](TrainingOptions* self, bool recompute, int64_t gradient_block, float balance_loss,
             float z_loss, float bias_step) {
            new (self) TrainingOptions{.recompute = recompute,
                                       .gradient_block = gradient_block,
                                       .balance_loss = balance_loss,
                                       .z_loss = z_loss,
                                       .bias_step = bias_step};
          },
          nb::kw_only(), nb::arg("recompute") = false, nb::arg("gradient_block") = 256,
          nb::arg("balance_loss") = 0.0f, nb::arg("z_loss") = 0.0f, nb::arg("bias_step") = 0.0f)
      .def_ro("recompute", &TrainingOptions::recompute)
      .def_ro("gradient_block", &TrainingOptions::gradient_block)
      .def_ro("balance_loss", &TrainingOptions::balance_loss)
      .def_ro("z_loss", &TrainingOptions::z_loss)
      .def_ro("bias_step", &TrainingOptions::bias_step);
  nb::class_<Tape>(module, "Tape", "What a forward of a batch keeps for its backward; made empty.")
      .def(nb::init<>())
      .def_prop_ro("bytes", &Tape::bytes, "That it holds.");
  nb::class_<PythonParameter>(module, "Parameter", R"(A matrix that is trained, with its gradient.

name: "w1", "w2", "w3", "bias1", "bias2", "bias3", "gate" or "gate_bias", or the caller's.
expert: of all experts; -1: all ranks hold it alike. value, gradient: [rows, columns] float32 arrays,
which of a Stack are views of its memory.)")
      .def(
          "__init__",
          [](PythonParameter* self, const std::string& name, nb::object value, nb::object gradient,
             int64_t layer) {
            new (self) PythonParameter{name, layer, -1, std::move(value), std::move(gradient)};
            try {
              self->get();
            } catch (...) {
              self->~PythonParameter();
              throw;
            }
          },
          nb::arg("name"), nb::arg("value"), nb::arg("gradient"), nb::kw_only(),
          nb::arg("layer") = 0)
      .def_ro("name", &PythonParameter::name)
      .def_ro("layer", &PythonParameter::layer)
      .def_ro("expert", &PythonParameter::expert)
      .def_prop_rw(
          "value", [](const PythonParameter& self) { return self.value; },
          [](PythonParameter& self, nb::handle value) { require_same(value, self.value); })
      .def_prop_rw(
          "gradient", [](const PythonParameter& self) { return self.gradient; },
          [](PythonParameter& self, nb::handle value) { require_same(value, self.gradient); });
}

void bind_training(nb::module_& module) {
  nb::class_<PythonAdamW>(
      module, "AdamW",
      R"(AdamW (arXiv 1711.05101) on a Stack's parameters, and on others that the caller trains with it.

others: Parameters that all ranks hold alike, whose gradients the caller has made alike on all ranks
before each step (ReproducibleSum). The same bits on any number of ranks.)")
      .def(
          "__init__",
          [](PythonAdamW* self, nb::handle_t<PythonStack> stack, float beta1, float beta2,
             float epsilon, float weight_decay, float clip_norm, const nb::list& others) {
            new (self) PythonAdamW(stack, {beta1, beta2, epsilon, weight_decay, clip_norm}, others);
          },
          nb::arg("stack"), nb::kw_only(), nb::arg("beta1") = 0.9f, nb::arg("beta2") = 0.999f,
          nb::arg("epsilon") = 1e-8f, nb::arg("weight_decay") = 0.01f, nb::arg("clip_norm") = 0.0f,
          nb::arg("others") = nb::list(), "Collective.")
      .def("step", &PythonAdamW::step, nb::arg("learning_rate"),
           "Sums gradients of what all ranks hold in the stack, clips, updates, packs, and sets "
           "all\n"
           "gradients to 0. Returns the norm before it was clipped. Collective.")
      .def_prop_rw(
          "steps", [](PythonAdamW& self) { return self.get().steps(); },
          [](PythonAdamW& self, int64_t steps) { self.get().set_steps(steps); },
          "Updates made so far.")
      .def_prop_ro(
          "bytes", [](PythonAdamW& self) { return self.get().bytes(); },
          "Of the states on this rank.")
      .def(
          "states",
          [](nb::handle_t<PythonAdamW> self) {
            nb::list all;
            for (const ParameterState& each : nb::cast<PythonAdamW&>(self).get().states()) {
              all.append(nb::make_tuple(python_parameter(each.parameter, self),
                                        numpy_view(each.first_moment, self),
                                        numpy_view(each.second_moment, self)));
            }
            return all;
          },
          "All parameters of this rank: (Parameter, first moment, second moment), views. Local.");

  nb::class_<LoadedCheckpoint>(module, "LoadedCheckpoint", "What load_checkpoint has found.")
      .def_ro("path", &LoadedCheckpoint::path, "Of the checkpoint itself.")
      .def_ro("steps", &LoadedCheckpoint::steps, "The optimizer's.")
      .def_ro("program", &LoadedCheckpoint::program, "As given to save_checkpoint.");
  module.def(
      "save_checkpoint",
      [](PythonStack& stack, PythonAdamW& optimizer, const std::string& folder, int64_t vocab_size,
         const std::string& program, int keep_last) {
        AdamW& states = optimizer.get();
        stack.call([&](Stack& each) {
          save_checkpoint(each, states, folder, {vocab_size, program, keep_last});
        });
      },
      nb::arg("stack"), nb::arg("optimizer"), nb::arg("folder"), nb::kw_only(),
      nb::arg("vocab_size") = 0, nb::arg("program") = "", nb::arg("keep_last") = 3,
      "Writes FOLDER/step-N, a model folder with the optimizer's states, in one rename, and keeps "
      "the\n"
      "last `keep_last`. program: a JSON object of the caller's own. Collective.");
  module.def(
      "load_checkpoint",
      [](PythonStack& stack, PythonAdamW& optimizer, const std::string& path) {
        AdamW& states = optimizer.get();
        return stack.call([&](Stack& each) { return load_checkpoint(each, states, path); });
      },
      nb::arg("stack"), nb::arg("optimizer"), nb::arg("path"),
      "Reads a checkpoint, written by any number of ranks; of a folder the latest. Collective.");

  nb::class_<PythonSum>(
      module, "ReproducibleSum",
      R"(Sums matrices of float32 over all ranks, to the same bits however they are dealt to ranks.

Each rank adds any number of addends [rows, cols]; `finish` gives all ranks the sum of all. To be used
for gradients of what all ranks hold: an addend a block of tokens whose edges do not depend on ranks.)")
      .def(nb::init<nb::handle_t<PythonContext>, int64_t, int64_t>(), nb::arg("context"),
           nb::arg("rows"), nb::arg("cols"))
      .def("add", &PythonSum::add, nb::arg("addend"), "[rows, cols] float32. Local.")
      .def("finish", &PythonSum::finish, nb::arg("out").none() = nb::none(),
           "The sum [rows, cols], in `out` where it is given; the next one then begins. "
           "Collective.");
}

}  // namespace hashep::python
