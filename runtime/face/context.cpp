// SPDX-License-Identifier: Apache-2.0
#include "hashep/context.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <utility>

#include "comm/agreement.hpp"
#include "comm/core_share.hpp"
#include "core/thread_choice.hpp"
#include "hashep/error.hpp"
#include "hashep/version.hpp"
#include "runtime/face/context_impl.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep {
namespace {

constexpr double kDefaultDeadline = 120.0;  // seconds
constexpr double kLongestParting = 2.0;     // seconds that a rank waits for others to leave too
constexpr int kMaxThreads = 4096;

using Seconds = std::chrono::duration<double>;

bool is_deadline(std::chrono::duration<double> deadline) {
  return std::isfinite(deadline.count()) && deadline.count() > 0.0;
}

void require_options(const ContextOptions& options) {
  if (!is_deadline(options.deadline)) {
    throw InputError("deadline: must be a positive time");
  }
  if (!is_deadline(options.setup_deadline)) {
    throw InputError("setup_deadline: must be a positive time");
  }
  if (options.threads < 0 || options.threads > kMaxThreads) {
    throw InputError("threads: " + std::to_string(options.threads) + " is not in [0, " +
                     std::to_string(kMaxThreads) + "]");
  }
  if (options.device == Device::cuda) {
    throw InputError(
        "device cuda: stacks of the library compute on CPUs alone, as the path of GPUs "
        "has not run on one yet");
  }
}

MPI_Comm require_communicator(MPI_Comm comm) {
  if (!mpi_is_up()) {
    throw InputError(
        "MPI is not up: a Context is made after MPI_Init_thread, and dropped before "
        "MPI_Finalize");
  }
  if (comm == MPI_COMM_NULL) throw InputError("a Context of MPI_COMM_NULL");
  return comm;
}

}  // namespace

Context::Impl::Impl(MPI_Comm comm, ContextOptions options) : options_(std::move(options)) {
  const bool is_timed = is_deadline(options_.deadline);
  parts_.emplace(require_communicator(comm),
                 is_timed ? options_.deadline.count() : kDefaultDeadline, options_.stop_signal);
  watch().set_policy(options_.failure_policy.get());
  agree_on_options();
  watch().allow_setup(options_.setup_deadline.count());
  parts_->topology.emplace(find_topology(this->comm(), watch()));
  agree(this->comm(), watch(),
        [&] { options_.transport = resolve_transport(options_.transport, topology().nodes); });
  options_.device = Device::cpu;
  options_.threads =
      choose_threads(options_.threads, "threads", find_core_share(topology().node, watch()))
          .threads;
}

void Context::Impl::agree_on_options() {
  agree(comm(), watch(), [&] { require_options(options_); });
  const auto seconds = [](std::chrono::duration<double> time) {
    return std::to_string(time.count()) + " s";
  };
  require_same_settings(comm(), watch(),
                        {{"version", std::string(version())},
                         {"transport", std::string(transport_name(options_.transport))},
                         {"deadline", seconds(options_.deadline)},
                         {"setup_deadline", seconds(options_.setup_deadline)}});
}

void Context::Impl::leave(const std::string& reason) {
  in_step_ = false;
  if (mpi_is_up()) watch().leave(reason);
}

bool Context::Impl::all_drop() noexcept {
  if (apart_ || !mpi_is_up()) return false;
  const bool in_step = in_step_ && !unwinds_alone();
  const double deadline = options_.deadline.count();
  const Seconds patience(in_step ? deadline : std::min(kLongestParting, deadline / 4));
  apart_ = true;
  MPI_Request arrival = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(parts_->parting.get(), &arrival) != MPI_SUCCESS) return false;
  const auto begin = std::chrono::steady_clock::now();
  for (int have_come = 0; std::chrono::steady_clock::now() - begin < patience;) {
    if (MPI_Test(&arrival, &have_come, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
    if (have_come != 0) {
      apart_ = false;
      return true;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return false;
}

Context::Impl::~Impl() {
  const UnwindsAloneScope leaving(!all_drop());
  parts_.reset();
}

Context::Context(MPI_Comm comm, ContextOptions options)
    : impl_(std::make_shared<Impl>(comm, std::move(options))) {}

Context::~Context() = default;
Context::Context(Context&& other) noexcept = default;

int Context::rank() const {
  return impl_->comm().rank();
}

int Context::size() const {
  return impl_->comm().size();
}

const NodeMap& Context::nodes() const {
  return impl_->topology().nodes;
}

const ContextOptions& Context::options() const {
  return impl_->options();
}

void Context::leave(const std::string& reason) {
  impl_->leave(reason);
}

bool is_reporter(const std::exception& error) {
  const auto* shared = dynamic_cast<const ReporterKnown*>(&error);
  return shared == nullptr || shared->is_reporter();
}

}  // namespace hashep
