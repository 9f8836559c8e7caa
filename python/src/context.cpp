// SPDX-License-Identifier: Apache-2.0
#include "python/src/context.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <chrono>
#include <vector>

#include "hashep/error.hpp"
#include "hashep/node_map.hpp"
#include "python/src/arrays.hpp"
#include "python/src/mpi_session.hpp"
#include "python/src/words.hpp"

namespace hashep::python {
namespace {

/// MPI's own handle of a communicator of mpi4py; None: all ranks; "self": this one.
MPI_Comm communicator(nb::handle comm) {
  if (comm.is_none()) return MPI_COMM_WORLD;
  if (nb::isinstance<nb::str>(comm) && nb::cast<std::string>(comm) == "self") return MPI_COMM_SELF;
  if (!nb::hasattr(comm, "py2f")) {
    throw InputError("comm: is neither None nor \"self\" nor a communicator of mpi4py");
  }
  return MPI_Comm_f2c(nb::cast<int>(comm.attr("py2f")()));
}

}  // namespace

void Interrupts::makes_progress() noexcept {
  if (stop_ != 0) return;
  const nb::gil_scoped_acquire acquire;
  if (PyErr_CheckSignals() == 0) return;
  try {
    raised_.emplace();  // takes Python's error over
  } catch (...) {
    PyErr_Clear();
  }
  stop_ = SIGINT;
}

void Interrupts::rethrow() {
  if (!raised_) return;
  nb::python_error error = std::move(*raised_);
  raised_.reset();
  throw error;
}

PythonContext::PythonContext(nb::handle comm, const std::string& transport, double deadline,
                             double setup_deadline, int threads) {
  begin_mpi();
  const MPI_Comm ranks = communicator(comm);
  ContextOptions options{.transport = choice(kTransports, transport, "transport"),
                         .deadline = std::chrono::duration<double>(deadline),
                         .setup_deadline = std::chrono::duration<double>(setup_deadline),
                         .threads = threads,
                         .failure_policy = interrupts_,
                         .stop_signal = interrupts_->stop_signal()};
  context_ = call([&] { return std::make_unique<Context>(ranks, std::move(options)); });
}

Context& PythonContext::get() const {
  if (!context_) throw InputError("the Context is closed");
  return *context_;
}

void PythonContext::close() {
  if (context_) call([&] { context_.reset(); });
}

void bind_context(nb::module_& module) {
  nb::class_<NodeMap>(module, "NodeMap",
                      "Which rank runs on which node: ranks of one node share memory.")
      .def(
          "__init__",
          [](NodeMap* self, nb::object labels) {
            const Integers<int32_t> of_ranks(labels, "labels");
            require_count("labels", std::ssize(of_ranks.span()));
            new (self) NodeMap(of_ranks.span());
          },
          nb::arg("labels"),
          "labels: [ep_size] integers, equal for ranks of one node and different between nodes.")
      .def_prop_ro("ep_size", &NodeMap::ep_size, "Ranks of the job.")
      .def_prop_ro("num_nodes", &NodeMap::num_nodes, "Nodes.")
      .def(
          "node_of",
          [](const NodeMap& self, int rank) {
            require_between("rank", rank, 0, self.ep_size() - 1);
            return self.node_of(rank);
          },
          nb::arg("rank"), "The node of a rank.")
      .def(
          "ranks_of",
          [](const NodeMap& self, int node) {
            require_between("node", node, 0, self.num_nodes() - 1);
            const auto ranks = self.ranks_of(node);
            return numpy_array(std::vector<int32_t>(ranks.begin(), ranks.end()), {ranks.size()});
          },
          nb::arg("node"), "The ranks of a node, ascending: [ranks] int32.")
      .def(
          "__eq__", [](const NodeMap& a, const NodeMap& b) { return a == b; }, nb::is_operator(),
          kEqual);

  nb::class_<PythonContext>(module, "Context", nb::is_weak_referenceable(),
                            R"(The ranks that work together, where they run and how they talk.

The first object of a program. Starts MPI where nothing has; all ranks make it together. It is
closed by `close`, at the end of a `with` block, or when the program ends. Used by one thread.

comm: None: all ranks of the job; "self": this rank alone; or a communicator of mpi4py.
transport: how rows move: "auto", "shm" (one node), "hier", "mpi".
deadline: seconds that a call waits for other ranks before it raises RunError; longer than what a
  rank's other work may take on one rank alone.
setup_deadline: the same while a Context or Stack is made and all ranks show signs of life.
threads: that this rank computes with; 0: OMP_NUM_THREADS, else its share of the node's cores.)")
      .def(nb::init<nb::handle, const std::string&, double, double, int>(),
           nb::arg("comm").none() = nb::none(), nb::kw_only(), nb::arg("transport") = "auto",
           nb::arg("deadline") = 120.0, nb::arg("setup_deadline") = 3600.0, nb::arg("threads") = 0)
      .def_prop_ro(
          "rank", [](const PythonContext& self) { return self.get().rank(); },
          "This rank: [0, size).")
      .def_prop_ro(
          "size", [](const PythonContext& self) { return self.get().size(); },
          "How many ranks there are.")
      .def_prop_ro(
          "nodes", [](const PythonContext& self) { return self.get().nodes(); },
          "Which ranks share a node.")
      .def_prop_ro(
          "threads", [](const PythonContext& self) { return self.get().options().threads; },
          "Threads that this rank computes with.")
      .def_prop_ro(
          "transport",
          [](const PythonContext& self) {
            return word_for(kTransports, self.get().options().transport);
          },
          "How rows move between ranks.")
      .def_prop_ro(
          "deadline",
          [](const PythonContext& self) { return self.get().options().deadline.count(); },
          "Seconds that a call waits for other ranks.")
      .def(
          "leave",
          [](const PythonContext& self, const std::string& reason) {
            if (!self.is_closed()) self.get().leave(reason);
          },
          nb::arg("reason"),
          "Tells the other ranks that this one comes to no collective call any more: theirs raise\n"
          "RunError, \"rank N has left: REASON\". Local. Done by itself where an exception ends "
          "the\n"
          "program.")
      .def("close", &PythonContext::close,
           "Gives back what it took from MPI. Collective. Stacks made with it stay valid.")
      .def_prop_ro("is_closed", &PythonContext::is_closed);
}

}  // namespace hashep::python
