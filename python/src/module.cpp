// SPDX-License-Identifier: Apache-2.0
// The module hashep._core: the face of the library in Python's words.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <exception>
#include <string>

#include "comm/thrown_on_all_ranks.hpp"
#include "hashep/error.hpp"
#include "hashep/version.hpp"
#include "python/src/context.hpp"
#include "python/src/mpi_session.hpp"
#include "python/src/routing.hpp"
#include "python/src/stack.hpp"
#include "python/src/training.hpp"

namespace nb = nanobind;

namespace {

PyObject* input_error = nullptr;
PyObject* run_error = nullptr;

/// A class of errors that is one of Python's too.
PyObject* new_error(nb::module_& module, const char* name, const char* doc, nb::handle base,
                    nb::handle python) {
  const nb::object bases = nb::make_tuple(base, python);
  PyObject* const made =
      PyErr_NewExceptionWithDoc(("hashep." + std::string(name)).c_str(), doc, bases.ptr(), nullptr);
  if (made == nullptr) throw nb::python_error();
  module.attr(name) = nb::borrow(made);
  return made;
}

void set_error(PyObject* type, const std::exception& error) {
  const nb::object value = nb::borrow(type)(nb::str(error.what()));
  value.attr("on_all_ranks") = dynamic_cast<const hashep::ThrownOnAllRanks*>(&error) != nullptr;
  value.attr("is_reporter") = hashep::is_reporter(error);
  PyErr_SetObject(type, value.ptr());
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const hashep::InputError& error) {
    set_error(input_error, error);
  } catch (const hashep::RunError& error) {
    set_error(run_error, error);
  }
}

}  // namespace

NB_MODULE(_core, module) {
  nb::set_leak_warnings(false);  // a Stack whose arrays are left at exit is left too
  module.doc() = "Bindings of the HashEP library; use the package hashep.";
  const nb::object base = nb::steal(PyErr_NewExceptionWithDoc(
      "hashep.Error", "Base of the errors that the library raises.", PyExc_Exception, nullptr));
  module.attr("Error") = base;
  input_error = new_error(module, "InputError",
                          "Input that the caller can mend: a bad option, file, table or array.",
                          base, PyExc_ValueError);
  run_error = new_error(module, "RunError",
                        "A failure while running: a lost or stalled rank, a call that failed.",
                        base, PyExc_RuntimeError);
  nb::register_exception_translator(translate);
  module.attr("__version__") = std::string(hashep::version());
  hashep::python::bind_session(module);
  hashep::python::bind_context(module);
  hashep::python::bind_routing(module);
  hashep::python::bind_stack(module);
  hashep::python::bind_training(module);
}
