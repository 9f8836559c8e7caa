// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hashep/placement.hpp"
#include "hashep/stack.hpp"
#include "python/src/context.hpp"

namespace hashep::python {

/// Arguments of a Stack that have a default, as Python gives them.
struct StackArguments {
  std::string dtype;
  bool residual;
  std::optional<std::vector<Placement>> placements;
  int64_t expected_tokens;
  int planning_depth;
  bool overlap;
  bool node_reduce;
  std::string gemm_library;
  std::string weight_form;
  int64_t weight_memory;
  bool check_finite;
  std::optional<TrainingOptions> training;

  StackOptions options() const;
};

/// A Stack, whose memory lives as long as arrays of it do.
class PythonStack {
 public:
  /// `make` gives a Stack of a Context, while Python's lock is free. Keeps `context`.
  template <typename Make>
  PythonStack(nb::handle_t<PythonContext> context, const Make& make)
      : context_(nb::borrow(context)) {
    Context& ranks = this->context().get();
    stack_ = this->context().call([&] { return held(make(ranks)); });
  }

  /// Where it was not closed, Python drops it at a moment of this rank's own: nobody is waited for.
  ~PythonStack();
  PythonStack(const PythonStack&) = delete;
  PythonStack& operator=(const PythonStack&) = delete;

  /// Throws InputError once it is closed.
  Stack& get() const;
  const PythonContext& context() const { return nb::cast<const PythonContext&>(context_); }
  template <typename Work>
  decltype(auto) call(const Work& work) const {
    Stack& stack = get();
    return context().call([&]() -> decltype(auto) { return work(stack); });
  }

  /// An owner for arrays of its memory.
  nb::object keeper();
  /// Drops the Stack: collective. Where arrays of its memory are left, they keep it until they go.
  void close();
  bool is_closed() const { return stack_ == nullptr; }
  /// For the end of the program: where arrays are left, it is never dropped.
  void close_at_exit();

 private:
  /// Holds a Stack for the arrays and optimizers that need it; the last one abandons it.
  static std::shared_ptr<Stack> held(Stack stack);

  nb::object context_;
  std::shared_ptr<Stack> stack_;
};

/// Shapes, weights, models, batches and stacks.
void bind_stack(nb::module_& module);

}  // namespace hashep::python
