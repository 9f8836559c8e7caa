// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include "python/src/stack.hpp"

namespace hashep::python {

/// Sources of weights.
void bind_weights(nb::module_& module);

/// Tapes, training's options, parameters.
void bind_tapes(nb::module_& module);

/// A list of a stack's parameters.
nb::list parameters_of(PythonStack& stack);

/// AdamW, checkpoints and exact sums.
void bind_training(nb::module_& module);

}  // namespace hashep::python
