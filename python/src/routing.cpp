// SPDX-License-Identifier: Apache-2.0
#include "python/src/routing.hpp"

#include <nanobind/make_iterator.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <sstream>
#include <vector>

#include "hashep/batch_plan.hpp"
#include "hashep/error.hpp"
#include "hashep/hash_router.hpp"
#include "hashep/placement.hpp"
#include "hashep/stack_geometry.hpp"
#include "hashep/table_router.hpp"
#include "python/src/words.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/tables/targeted_table.hpp"

namespace hashep::python {
namespace {

/// [tokens] of each token; None where the batch does not say it.
nb::object positions_of(const TokenBatch& batch) {
  if (batch.seq_len == 0 && batch.positions.size() != batch.ids.size()) return nb::none();
  std::vector<int64_t> positions(batch.ids.size());
  for (size_t i = 0; i < positions.size(); ++i) {
    positions[i] = position_of(batch, static_cast<int64_t>(i));
  }
  return numpy_array(std::move(positions), {batch.ids.size()});
}
nb::object previous_ids_of(const TokenBatch& batch) {
  if (batch.seq_len == 0 && batch.previous_ids.size() != batch.ids.size()) return nb::none();
  std::vector<int32_t> previous(batch.ids.size());
  for (size_t i = 0; i < previous.size(); ++i) {
    previous[i] = previous_id_of(batch, static_cast<int64_t>(i));
  }
  return numpy_array(std::move(previous), {batch.ids.size()});
}

/// Routes by a function of Python's. Its lock is taken for the call.
class FunctionRouter final : public Router {
 public:
  FunctionRouter(nb::callable function, uint64_t digest)
      : function_(std::move(function)), digest_(digest) {}

  void route(const TokenBatch& batch, const RoutedLayer& layer,
             std::span<int32_t> experts) const override {
    const nb::gil_scoped_acquire acquire;
    try {
      const size_t tokens = batch.ids.size();
      const nb::object found = function_(
          numpy_array(std::vector<int32_t>(batch.ids.begin(), batch.ids.end()), {tokens}),
          positions_of(batch), previous_ids_of(batch), layer.layer, layer.num_experts, layer.top_k);
      const Integers<int32_t> choice(found, "the router's experts");
      if (choice.span().size() != experts.size()) {
        throw InputError("the router gave " + std::to_string(choice.span().size()) +
                         " experts for " + std::to_string(tokens) + " tokens of " +
                         std::to_string(layer.top_k) + " each");
      }
      std::copy(choice.span().begin(), choice.span().end(), experts.begin());
    } catch (nb::python_error& error) {
      throw InputError("the router: " + error_text(error));
    }
  }
  uint64_t digest() const override { return digest_; }

 private:
  nb::callable function_;
  uint64_t digest_;
};

RoutingTable table_of(nb::handle experts) {
  const Integers<int32_t> values(experts, "experts");
  if (values.shape().size() != 2) throw InputError("experts: [vocab_size, top_k] is needed");
  return {.vocab_size = values.shape()[0],
          .top_k = static_cast<int>(values.shape()[1]),
          .experts = values.vector()};
}

RoutingTable balanced_table(nb::handle counts, int64_t num_experts, int top_k, uint64_t seed,
                            const std::optional<Placement>& placement) {
  const Integers<int64_t> values(counts, "counts");
  require_count("num_experts", num_experts);
  if (placement && placement->num_experts() != num_experts) {
    throw InputError("placement: of " + std::to_string(placement->num_experts()) +
                     " experts, num_experts is " + std::to_string(num_experts));
  }
  return build_targeted_table(values.span(),
                              placement ? *placement : contiguous_placement(num_experts, 1), top_k,
                              placement ? BalanceTarget::both : BalanceTarget::expert, seed);
}

template <typename T>
std::string as_text(const T& value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

void bind_tokens(nb::module_& module) {
  nb::class_<PythonTokens>(module, "TokenBatch",
                           R"(A rank's token ids, with what routers look at.

ids: [tokens] integers; -1 is padding. With seq_len, token i stands at
(first_position + i) % seq_len in its sequence, and previous_id is the id before ids[0]; without it,
positions and previous_ids: [tokens] say it for each token (decoding), where the router needs them.)")
      .def(nb::init<nb::handle, int64_t, int64_t, int32_t, nb::handle, nb::handle>(),
           nb::arg("ids"), nb::kw_only(), nb::arg("seq_len") = 0, nb::arg("first_position") = 0,
           nb::arg("previous_id") = -1, nb::arg("positions").none() = nb::none(),
           nb::arg("previous_ids").none() = nb::none())
      .def_prop_ro(
          "tokens", [](const PythonTokens& self) { return self.get().ids.size(); }, "How many.");
}

void bind_routers(nb::module_& module) {
  nb::class_<RoutingTable>(module, "RoutingTable",
                           "tid2eid: row v holds the experts of token id v.")
      .def(
          "__init__",
          [](RoutingTable* self, nb::handle experts) {
            new (self) RoutingTable(table_of(experts));
          },
          nb::arg("experts"), "experts: [vocab_size, top_k] integers, distinct in a row.")
      .def_ro("vocab_size", &RoutingTable::vocab_size, "Ids are in [0, this).")
      .def_ro("top_k", &RoutingTable::top_k, "Experts of a token.")
      .def_prop_ro(
          "experts",
          [](nb::handle_t<RoutingTable> self) {
            const auto& table = nb::cast<const RoutingTable&>(self);
            return numpy_view(
                table.experts.data(),
                {static_cast<size_t>(table.vocab_size), static_cast<size_t>(table.top_k)}, self);
          },
          "[vocab_size, top_k] int32.")
      .def_prop_ro(
          "has_spread_rows", [](const RoutingTable& self) { return self.spread.has_value(); },
          "Whether hot ids have further rows, taken by position.")
      .def(
          "__eq__", [](const RoutingTable& a, const RoutingTable& b) { return a == b; },
          nb::is_operator(), kEqual);
  module.def("load_table", &load_table, nb::arg("path"), nb::arg("tensor") = "", nb::kw_only(),
             nb::arg("num_experts"),
             "Reads a table [vocab_size, top_k] from .safetensors or .npy. Local.");
  module.def("load_layer_table", &load_layer_table, nb::arg("path"), nb::arg("layer"),
             nb::kw_only(), nb::arg("num_experts"),
             "The table of one layer of a .safetensors file with a table a layer. Local.");
  module.def(
      "random_table",
      [](int64_t vocab_size, int64_t num_experts, int top_k, uint64_t seed) {
        require_count("vocab_size", vocab_size);
        require_count("num_experts", num_experts);
        return build_random_table(vocab_size, num_experts, top_k, seed);
      },
      nb::arg("vocab_size"), nb::arg("num_experts"), nb::arg("top_k") = 1, nb::arg("seed") = 0,
      "Each id's experts drawn uniformly, without repetition. Local.");
  module.def(
      "balanced_table", &balanced_table, nb::arg("counts"), nb::arg("num_experts"),
      nb::arg("top_k") = 1, nb::arg("seed") = 0, nb::arg("placement").none() = nb::none(),
      "Even loads of experts where id v occurs counts[v] times ([vocab_size] integers); with\n"
      "a placement, of ranks too. Local.");

  nb::class_<Router>(module, "Router",
                     "Which experts a token goes to: a function of its id and surroundings.")
      .def(
          "route",
          [](const Router& self, const PythonTokens& tokens, int64_t layer, int64_t num_experts,
             int top_k) {
            require_count("num_experts", num_experts);
            require_between("top_k", top_k, 1, num_experts);
            const size_t count = tokens.get().ids.size();
            std::vector<int32_t> experts(count * static_cast<size_t>(top_k));
            self.route(tokens.get(), {layer, num_experts, top_k}, experts);
            return numpy_array(std::move(experts), {count, static_cast<size_t>(top_k)});
          },
          nb::arg("tokens"), nb::kw_only(), nb::arg("layer") = 0, nb::arg("num_experts"),
          nb::arg("top_k") = 1, "The experts of each token: [tokens, top_k] int32. Local.")
      .def_prop_ro("digest", &Router::digest, "A number that ranks compare.");
  nb::class_<HashRouter, Router>(module, "HashRouter",
                                 "A token's experts follow from a hash (XXH64) of a feature of it.")
      .def(
          "__init__",
          [](HashRouter* self, int64_t vocab_size, uint64_t seed, const std::string& feature) {
            new (self) HashRouter({vocab_size, seed, choice(kFeatures, feature, "feature")});
          },
          nb::arg("vocab_size"), nb::kw_only(), nb::arg("seed") = 0, nb::arg("feature") = "token",
          "feature: \"token\" (its id), \"position\", \"previous\" (the id before it), \"bigram\"\n"
          "(both ids). Layer l hashes with seed + l.");
  nb::class_<TableRouter, Router>(module, "TableRouter",
                                  "A token's experts are its row of a table.")
      .def(nb::init<std::vector<RoutingTable>, int64_t>(), nb::arg("tables"), nb::kw_only(),
           nb::arg("num_experts"), "tables: one a layer, or one for all of them.");
  nb::class_<FunctionRouter, Router>(module, "FunctionRouter",
                                     R"(A router of your own.

function(ids, positions, previous_ids, layer, num_experts, top_k) gives [tokens, top_k] int32:
distinct experts, -1 for all of a padding token (id -1). positions and previous_ids are None where the
batch does not say them. It is called without tokens when a Stack is made. A token's experts must depend on the token
alone, never on how a batch is cut.
digest: a number that follows from all that the function depends on; ranks compare it.)")
      .def(nb::init<nb::callable, uint64_t>(), nb::arg("function"), nb::kw_only(),
           nb::arg("digest"));
}

void bind_placements(nb::module_& module) {
  nb::class_<Placement>(module, "Placement", "Which rank owns which expert of a layer.")
      .def(
          "__init__",
          [](Placement* self, nb::handle rank_of, int ep_size) {
            require_count("ep_size", ep_size);
            new (self) Placement(Integers<int32_t>(rank_of, "rank_of").vector(), ep_size);
          },
          nb::arg("rank_of"), nb::arg("ep_size"),
          "rank_of: [num_experts] integers in [0, ep_size).")
      .def_prop_ro("num_experts", &Placement::num_experts, "Experts of the layer, on all ranks.")
      .def_prop_ro("ep_size", &Placement::ep_size, "Ranks of the job.")
      .def_prop_ro(
          "rank_of",
          [](nb::handle_t<Placement> self) {
            const auto ranks = nb::cast<const Placement&>(self).ranks();
            return numpy_view(ranks.data(), {ranks.size()}, self);
          },
          "The owner of each expert: [num_experts] int32.")
      .def(
          "local_experts",
          [](const Placement& self, int rank) {
            require_between("rank", rank, 0, self.ep_size() - 1);
            const auto experts = self.local_experts(rank);
            const size_t count = experts.size();
            return numpy_array(std::vector<int32_t>(experts.begin(), experts.end()), {count});
          },
          nb::arg("rank"), "The experts of a rank, ascending: [num_local_experts] int32.")
      .def(
          "__eq__", [](const Placement& a, const Placement& b) { return a == b; },
          nb::is_operator(), kEqual)
      .def("__repr__", [](const Placement& self) { return "Placement(" + as_text(self) + ")"; });
  module.def(
      "contiguous_placement",
      [](int64_t num_experts, int ep_size) {
        require_count("num_experts", num_experts);
        require_count("ep_size", ep_size);
        return contiguous_placement(num_experts, ep_size);
      },
      nb::arg("num_experts"), nb::arg("ep_size"), "Rank r owns experts [r*E//R, (r+1)*E//R).");
  module.def(
      "balanced_placement",
      [](nb::handle loads, int ep_size, const std::optional<NodeMap>& nodes) {
        const Integers<int64_t> values(loads, "loads");
        require_count("ep_size", ep_size);
        return nodes ? balanced_placement(values.span(), *nodes)
                     : balanced_placement(values.span(), ep_size);
      },
      nb::arg("loads"), nb::arg("ep_size") = 1, nb::arg("nodes").none() = nb::none(),
      "Evens the ranks' load, their numbers of experts differing by one at most; with nodes (then\n"
      "ep_size is theirs) the nodes' load too. loads: [num_experts] integers.");
}

/// A vector of a plan as an array that keeps the plan.
template <auto Field>
nb::object plan_array(nb::handle_t<ExchangePlan> self) {
  return numpy_view(nb::cast<const ExchangePlan&>(self).*Field, self);
}

void bind_plans(nb::module_& module) {
  nb::class_<ExchangePlan>(
      module, "ExchangePlan",
      "All that moves in one layer of one batch, as one rank sees it: a value.")
      .def_ro("ep_rank", &ExchangePlan::ep_rank, "Whose plan it is.")
      .def_ro("ep_size", &ExchangePlan::ep_size, "Ranks.")
      .def_ro("top_k", &ExchangePlan::top_k, "Experts of a token.")
      .def_ro("num_experts", &ExchangePlan::num_experts, "Of all ranks.")
      .def_ro("tokens", &ExchangePlan::tokens, "On this rank.")
      .def_prop_ro("experts", &plan_array<&ExchangePlan::experts>,
                   "[tokens * top_k] int32; -1: padding token.")
      .def_prop_ro("send_rows", &plan_array<&ExchangePlan::send_rows>,
                   "[tokens * top_k] int64: row in rank-major order; -1: padding.")
      .def_prop_ro("send_counts", &plan_array<&ExchangePlan::send_counts>,
                   "[ep_size] int64: rows to each rank.")
      .def_prop_ro("send_displs", &plan_array<&ExchangePlan::send_displs>,
                   "[ep_size + 1] int64: sums of those before, and of all.")
      .def_prop_ro("recv_counts", &plan_array<&ExchangePlan::recv_counts>,
                   "[ep_size] int64: rows from each rank.")
      .def_prop_ro("recv_displs", &plan_array<&ExchangePlan::recv_displs>,
                   "[ep_size + 1] int64: sums of those before, and of all.")
      .def_prop_ro("rank_rows", &plan_array<&ExchangePlan::rank_rows>,
                   "[ep_size] int64: rows that each rank receives in all.")
      .def_prop_ro("expert_ranks", &plan_array<&ExchangePlan::expert_ranks>,
                   "[num_experts] int32: who owns each expert.")
      .def_prop_ro("expert_send_rows", &plan_array<&ExchangePlan::expert_send_rows>,
                   "[num_experts] int64: where this rank's rows for an expert begin, rank-major.")
      .def_prop_ro("landing_rows", &plan_array<&ExchangePlan::landing_rows>,
                   "[num_experts] int64: and in the owner's expert-major order.")
      .def_prop_ro("local_experts", &plan_array<&ExchangePlan::local_experts>,
                   "[num_local_experts] int32, ascending.")
      .def_prop_ro("expert_offsets", &plan_array<&ExchangePlan::expert_offsets>,
                   "[num_local_experts + 1] int64: rows of local expert i are\n"
                   "[offsets[i], offsets[i + 1]).")
      .def(
          "__eq__", [](const ExchangePlan& a, const ExchangePlan& b) { return a == b; },
          nb::is_operator(), kEqual)
      .def("__repr__", [](const ExchangePlan& self) { return as_text(self); });
  nb::class_<BatchPlan>(module, "BatchPlan",
                        "The plans of all layers of one batch, as one rank sees them.")
      .def_ro("tokens", &BatchPlan::tokens, "Of this rank.")
      .def_ro("first_token", &BatchPlan::first_token,
              "Index of this rank's first token in the global batch.")
      .def_ro("global_tokens", &BatchPlan::global_tokens, "Of all ranks.")
      .def_ro("layers", &BatchPlan::layers, nb::rv_policy::reference_internal,
              "[num_layers] ExchangePlan.")
      .def_prop_ro(
          "expert_counts",
          [](nb::handle_t<BatchPlan> self) {
            const auto& plan = nb::cast<const BatchPlan&>(self);
            const size_t layers = plan.layers.size();
            const size_t experts = layers == 0 ? 0 : plan.expert_counts.size() / layers;
            return numpy_view(plan.expert_counts.data(), {layers, experts}, self);
          },
          "[num_layers, num_experts] int64: assignments of the whole batch.");
  nb::class_<StackGeometry>(module, "StackGeometry",
                            "Where the experts of a stack of layers stand: what plans follow from.")
      .def(nb::init<std::vector<Placement>, int, std::optional<NodeMap>, bool, int64_t>(),
           nb::arg("placements"), nb::arg("top_k") = 1, nb::kw_only(),
           nb::arg("nodes").none() = nb::none(), nb::arg("node_reduce") = false,
           nb::arg("gated") = 0,
           "placements: one a layer. nodes: where ranks run. node_reduce: a node's contributions "
           "to\n"
           "a token return as one sum. gated: the last so many layers have a gate.")
      .def_prop_ro("num_layers", &StackGeometry::num_layers, "Layers of the stack.")
      .def_prop_ro("ep_size", &StackGeometry::ep_size, "Ranks.");
  module.def(
      "plan_batch",
      [](const StackGeometry& geometry, const Router& router,
         const std::vector<PythonTokens*>& batches, int ep_rank) {
        const std::vector<TokenBatch> by_rank = token_batches(batches);
        require_between("batches_by_rank", std::ssize(by_rank), geometry.ep_size(),
                        geometry.ep_size());
        require_between("ep_rank", ep_rank, 0, geometry.ep_size() - 1);
        return plan_batch(geometry, router, by_rank, ep_rank);
      },
      nb::arg("geometry"), nb::arg("router"), nb::arg("batches_by_rank"), nb::arg("ep_rank"),
      "The plans of one rank from all ranks' tokens: no MPI, no exchange, any number of ranks.");
}

}  // namespace

PythonTokens::PythonTokens(nb::handle ids, int64_t seq_len, int64_t first_position,
                           int32_t previous_id, nb::handle positions, nb::handle previous_ids)
    : ids_(ids, "ids"),
      positions_(positions, "positions"),
      previous_ids_(previous_ids, "previous_ids"),
      batch_{.ids = ids_.span(),
             .seq_len = seq_len,
             .first_position = first_position,
             .previous_id = previous_id,
             .positions = positions_.span(),
             .previous_ids = previous_ids_.span()} {
  require_valid(batch_);
}

std::vector<TokenBatch> token_batches(const std::vector<PythonTokens*>& batches) {
  std::vector<TokenBatch> by_rank;
  for (const PythonTokens* batch : batches) {
    if (batch == nullptr) throw InputError("a rank's batch is None; a TokenBatch is needed");
    by_rank.push_back(batch->get());
  }
  return by_rank;
}

std::string error_text(nb::python_error& error) {
  return nb::cast<std::string>(error.type().attr("__name__")) + ": " +
         nb::cast<std::string>(nb::str(error.value()));
}

void bind_routing(nb::module_& module) {
  bind_tokens(module);
  bind_routers(module);
  bind_placements(module);
  bind_plans(module);
}

}  // namespace hashep::python
