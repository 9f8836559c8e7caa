// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/planner.hpp"

#include <algorithm>
#include <span>

#include "runtime/layer/planning_options.hpp"

namespace hashep {

Planner::Planner(const StackGeometry& geometry, const Router& router, const JobRanks& ranks,
                 int exchanges)
    : Planner(geometry, router, ranks.comm.rank()) {
  words_.resize(row_words_);
  for (int i = 0; i < std::max(1, exchanges); ++i) {
    ring_.push_back(std::make_unique<CountExchange>(ranks, row_words_));
  }
}

Planner::Planner(const StackGeometry& geometry, const Router& router, int ep_rank)
    : geometry_(geometry),
      router_(router),
      ep_rank_(ep_rank),
      row_words_(kStatusWords + geometry.batch_words()) {}

Ticket Planner::submit(const TokenBatch& batch) {
  make_room_for_exchange();
  Slot& slot = free_slot();
  route(batch, slot.plan, words_, slot.text);
  return begin_exchange(slot);
}

Ticket Planner::submit_error(const std::string& text) {
  make_room_for_exchange();
  Slot& slot = free_slot();
  fill_words(words_, slot.text, [&](std::span<CountWord>) { throw InputError(text); });
  return begin_exchange(slot);
}

Ticket Planner::submit_all(std::span<const TokenBatch> batches_by_rank) {
  if (std::ssize(batches_by_rank) != geometry_.ep_size()) {
    throw InputError("batches of " + std::to_string(batches_by_rank.size()) + " ranks for " +
                     std::to_string(geometry_.ep_size()));
  }
  Slot& slot = free_slot();
  const auto row_words = static_cast<size_t>(row_words_);
  slot.words.resize(batches_by_rank.size() * row_words);
  for (size_t rank = 0; rank < batches_by_rank.size(); ++rank) {
    route(batches_by_rank[rank], static_cast<int>(rank) == ep_rank_ ? slot.plan : scratch_,
          std::span(slot.words).subspan(rank * row_words, row_words), slot.text);
  }
  return take(slot);
}

BatchPlan& Planner::wait(Ticket ticket) {
  Slot& slot = slot_of(ticket);
  if (slot.exchange >= 0) {
    settle_through(slot.exchange);
  } else if (!slot.is_settled) {
    settle(slot, slot.words);
  }
  if (slot.found.fault != PlanningFault::none) {
    slot.step = -1;
    // Without an exchange all ranks have met the same, and rank 0 reports it.
    throw_fault(slot.found, slot.text, ep_rank_ == (slot.exchange < 0 ? 0 : slot.found.rank));
  }
  return slot.plan;
}

void Planner::release(Ticket ticket) {
  for (const auto& slot : slots_) {
    if (slot->step < 0 || slot->step != ticket.step) continue;
    if (slot->is_settled || slot->exchange < 0) {
      slot->step = -1;
    } else {
      slot->is_given_up = true;
    }
  }
}

int64_t Planner::in_flight() const {
  return std::ranges::count_if(
      slots_, [](const auto& slot) { return slot->step >= 0 && !slot->is_given_up; });
}

int64_t Planner::buffer_bytes() const {
  const auto bytes_of = [](int64_t words) {
    return words * static_cast<int64_t>(sizeof(CountWord));
  };
  int64_t bytes = bytes_of(std::ssize(words_));
  for (const auto& exchange : ring_) {
    bytes += share_of_node(exchange->bytes(), exchange->ranks_of_node());
  }
  for (const auto& slot : slots_) bytes += bytes_of(std::ssize(slot->words));
  return bytes;
}

Planner::Slot& Planner::free_slot() {
  const auto found = std::ranges::find_if(slots_, [](const auto& slot) { return slot->step < 0; });
  Slot& slot = found == slots_.end() ? *slots_.emplace_back(std::make_unique<Slot>()) : **found;
  slot.exchange = -1;
  slot.is_settled = false;
  slot.is_given_up = false;
  slot.found = {};
  slot.text.clear();
  return slot;
}

Planner::Slot& Planner::slot_of(Ticket ticket) {
  const auto found = std::ranges::find_if(slots_, [&](const auto& slot) {
    return slot->step >= 0 && slot->step == ticket.step && !slot->is_given_up;
  });
  if (found == slots_.end()) {
    throw RunError("planner: batch " + std::to_string(ticket.step) + " is not in flight");
  }
  return **found;
}

void Planner::route(const TokenBatch& batch, BatchPlan& plan, std::span<CountWord> words,
                    std::string& text) {
  fill_words(words, text, [&](std::span<CountWord> of_batch) {
    route_batch(geometry_, router_, batch, plan, of_batch);
  });
}

void Planner::make_room_for_exchange() {
  if (ring_.empty()) {
    throw RunError("planner: it has no exchange to submit one rank's tokens by");
  }
  settle_through(exchanges_begun_ - std::ssize(ring_));
}

Ticket Planner::begin_exchange(Slot& slot) {
  ring_[exchanges_begun_ % std::ssize(ring_)]->start(words_);
  slot.exchange = exchanges_begun_++;
  return take(slot);
}

Ticket Planner::take(Slot& slot) {
  slot.step = submitted_++;
  slot.plan.step = slot.step;
  return {slot.step};
}

void Planner::settle_through(int64_t exchange) {
  while (exchanges_completed_ <= exchange) {
    const auto gathered = ring_[exchanges_completed_ % std::ssize(ring_)]->finish();
    const auto slot = std::ranges::find_if(slots_, [this](const auto& each) {
      return each->step >= 0 && each->exchange == exchanges_completed_;
    });
    ++exchanges_completed_;
    settle(**slot, gathered.words());
  }
}

void Planner::settle(Slot& slot, std::span<const CountWord> words) {
  slot.found = find_fault(words, row_words_, geometry_.ep_size());
  slot.is_settled = true;
  if (slot.is_given_up) slot.step = -1;
  if (slot.step < 0 || slot.found.fault != PlanningFault::none) return;
  try {
    complete_batch(geometry_, {.words = words, .row_stride = row_words_, .first = kStatusWords},
                   ep_rank_, slot.plan);
  } catch (...) {
    slot.step = -1;
    throw;
  }
}

}  // namespace hashep
