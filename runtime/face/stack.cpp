// SPDX-License-Identifier: Apache-2.0
#include "hashep/stack.hpp"

#include "comm/agreement.hpp"
#include "hashep/context.hpp"
#include "hashep/error.hpp"
#include "runtime/face/stack_impl.hpp"
#include "runtime/face/tape_impl.hpp"

namespace hashep {

Stack::Stack(const Context& context, const StackShape& shape, std::shared_ptr<const Router> router,
             const WeightSource& weights, StackOptions options)
    : impl_(new Impl(context.impl(), shape, std::move(router), weights, std::move(options))) {}

Stack::Stack(const Context& context, const Model& model, StackOptions options)
    : impl_(new Impl(context.impl(), model, std::move(options))) {}

Stack Stack::from_folder(const Context& context, const std::string& folder, StackOptions options,
                         const ModelOptions& model) {
  Model opened;
  agree(context.impl()->comm(), context.impl()->watch(),
        [&] { opened = open_model(folder, model); });
  return Stack(context, opened, std::move(options));
}

Stack::~Stack() = default;
Stack::Stack(Stack&& other) noexcept = default;

void Stack::abandon() noexcept {
  if (impl_) impl_->abandon();
  impl_.reset();
}

Batch Stack::hold(int64_t step, int64_t tokens) {
  Batch batch;
  batch.ticket_ = std::shared_ptr<const int64_t>(
      new int64_t(step), [stack = std::weak_ptr<Impl>(impl_)](const int64_t* ticket) {
        if (const auto impl = stack.lock()) impl->release({*ticket});
        delete ticket;
      });
  batch.stack_ = impl_.get();
  batch.tokens_ = tokens;
  return batch;
}

int64_t Stack::step_of(const Batch& batch) const {
  if (batch.ticket_ == nullptr) throw InputError("a batch that was never submitted");
  if (batch.stack_ != impl_.get()) throw InputError("a batch that was submitted to another Stack");
  return *batch.ticket_;
}

Batch Stack::submit(const TokenBatch& tokens) {
  return hold(impl_->submit(tokens).step, std::ssize(tokens.ids));
}

Batch Stack::submit_all(std::span<const TokenBatch> by_rank) {
  const Ticket ticket = impl_->submit_all(by_rank);
  return hold(ticket.step, std::ssize(by_rank[impl_->rank()].ids));
}

void Stack::forward(const Batch& batch, ConstMatrixView x, MatrixView y) {
  impl_->forward({step_of(batch)}, batch.tokens(), x, y);
}

void Stack::forward(const Batch& batch, ConstMatrixView x, MatrixView y, Tape& tape) {
  impl_->forward({step_of(batch)}, batch.tokens(), x, y, tape.impl());
}

void Stack::backward(const Batch& batch, Tape& tape, ConstMatrixView dy, MatrixView dx) {
  impl_->backward({step_of(batch)}, batch.tokens(), tape.impl(), dy, dx);
}

void Stack::forward_layer(const Batch& batch, int64_t layer, ConstMatrixView x, MatrixView y) {
  impl_->forward_layer({step_of(batch)}, batch.tokens(), layer, x, y, nullptr);
}

void Stack::forward_layer(const Batch& batch, int64_t layer, ConstMatrixView x, MatrixView y,
                          Tape& tape) {
  impl_->forward_layer({step_of(batch)}, batch.tokens(), layer, x, y, &tape.impl());
}

void Stack::backward_layer(const Batch& batch, int64_t layer, Tape& tape, ConstMatrixView dy,
                           MatrixView dx) {
  impl_->backward_layer({step_of(batch)}, batch.tokens(), layer, tape.impl(), dy, dx);
}

GateLosses Stack::gate_losses(const Batch& batch, const Tape& tape) {
  return impl_->gate_losses({step_of(batch)}, tape.impl());
}

int64_t Stack::tape_bytes(const Batch& batch) {
  return impl_->tape_bytes({step_of(batch)});
}

std::vector<Parameter> Stack::parameters() {
  return impl_->trained_layers().parameters();
}

void Stack::sum_gradients() {
  impl_->sum_gradients();
}

void Stack::clear_gradients() {
  impl_->trained_layers().clear_gradients();
}

void Stack::pack_parameters() {
  impl_->trained_layers().pack();
}

const ExchangePlan& Stack::plan(const Batch& batch, int64_t layer) {
  return impl_->plan({step_of(batch)}, layer);
}

const StackShape& Stack::shape() const {
  return impl_->shape();
}

const StackOptions& Stack::options() const {
  return impl_->options();
}

std::string_view Stack::transport() const {
  return impl_->transport();
}

std::string_view Stack::implementation() const {
  return impl_->implementation();
}

StackBytes Stack::memory() const {
  return impl_->memory();
}

}  // namespace hashep
