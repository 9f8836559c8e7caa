// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// All of the library's face.

/// @mainpage HashEP
///
/// HashEP runs stacks of expert-parallel mixture-of-experts layers whose routing is static: a
/// token's experts follow from a hash of its id, or from a table, so that all that moves is planned
/// before the layers run.
///
/// A program needs these, in this order:
/// - the ranks, and how they work together: hashep::Context (context.hpp);
/// - the sizes of the layers: hashep::StackShape (stack_shape.hpp);
/// - which experts a token goes to: hashep::HashRouter, hashep::TableRouter, or a hashep::Router of
///   its own (router.hpp); or, to compare with, a learned hashep::Gate (gate.hpp);
/// - weights: hashep::ArrayWeights, hashep::make_synthetic_weights, hashep::open_model, or a
///   hashep::WeightSource of its own (weight_source.hpp);
/// - the layers: hashep::Stack (stack.hpp);
/// - token ids: hashep::TokenBatch (token_batch.hpp);
/// - hidden states: hashep::MatrixView, from hashep::matrix_view (matrix_view.hpp).
///
/// A Stack with StackOptions::training has a way back, Stack::backward, with gradients of the same
/// bits on any number of ranks, and is updated by hashep::AdamW (adamw.hpp), or by an optimizer of
/// the caller's on Stack::parameters.
///
/// Training is kept, and goes on, by hashep::save_checkpoint and hashep::load_checkpoint
/// (checkpoint.hpp).
///
/// Gradients of what else all ranks hold are summed, to the same bits on any number of ranks, by
/// hashep::ReproducibleSum (reproducible_sum.hpp).
///
/// Plans are plain values that can be made without MPI, for any number of ranks, in one process:
/// hashep::make_plan, hashep::plan_batch, hashep::ExchangePlan, hashep::Placement, hashep::NodeMap.
/// A program that needs no more links HashEP::plan; with Context and Stack it links HashEP::hashep.
///
/// What goes wrong is thrown: hashep::InputError where the caller can mend it, hashep::RunError
/// where a call, a rank or the machine failed.
///
/// Memory is the caller's, in host memory: a view says nothing of how long it is needed, the
/// function that takes it does. There are no streams in this face so far: a call is done when it
/// returns.

/// All of HashEP.
namespace hashep {}

#include "hashep/adamw.hpp"
#include "hashep/array_weights.hpp"
#include "hashep/batch_plan.hpp"
#include "hashep/checkpoint.hpp"
#include "hashep/context.hpp"
#include "hashep/error.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/gate.hpp"
#include "hashep/hash_router.hpp"
#include "hashep/matrix_view.hpp"
#include "hashep/model.hpp"
#include "hashep/node_map.hpp"
#include "hashep/placement.hpp"
#include "hashep/reproducible_sum.hpp"
#include "hashep/routing_table.hpp"
#include "hashep/stack.hpp"
#include "hashep/stack_shape.hpp"
#include "hashep/synthetic_weights.hpp"
#include "hashep/table_router.hpp"
#include "hashep/token_batch.hpp"
#include "hashep/training.hpp"
#include "hashep/version.hpp"
#include "hashep/weight_source.hpp"
