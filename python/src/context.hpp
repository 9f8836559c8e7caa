// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "hashep/context.hpp"

namespace hashep::python {

namespace nb = nanobind;

/// Lets Python's signal handlers run while a call waits: one that raises (KeyboardInterrupt, of
/// Ctrl-C) ends the wait.
class Interrupts final : public FailurePolicy {
 public:
  void makes_progress() noexcept override;

  /// See ContextOptions::stop_signal.
  const volatile int* stop_signal() const { return &stop_; }
  /// Throws what a handler has raised, if one has.
  void rethrow();

 private:
  volatile int stop_ = 0;
  std::optional<nb::python_error> raised_;
};

/// A Context, and what of Python has to live as long.
class PythonContext {
 public:
  PythonContext(nb::handle comm, const std::string& transport, double deadline,
                double setup_deadline, int threads);

  /// Where it was not closed, Python drops it at a moment of this rank's own: it is left to MPI.
  ~PythonContext() { static_cast<void>(context_.release()); }
  PythonContext(const PythonContext&) = delete;
  PythonContext& operator=(const PythonContext&) = delete;

  /// Throws InputError once it is closed.
  Context& get() const;
  /// Drops the Context: collective.
  void close();
  bool is_closed() const { return context_ == nullptr; }

  /// Runs `work`, which may wait for other ranks, without Python's lock.
  template <typename Work>
  decltype(auto) call(const Work& work) const {
    try {
      const nb::gil_scoped_release release;
      return work();
    } catch (const std::exception&) {
      interrupts_->rethrow();
      throw;
    }
  }

 private:
  std::shared_ptr<Interrupts> interrupts_ = std::make_shared<Interrupts>();
  std::unique_ptr<Context> context_;
};

void bind_context(nb::module_& module);

}  // namespace hashep::python
