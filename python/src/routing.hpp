// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <vector>

#include "hashep/token_batch.hpp"
#include "python/src/arrays.hpp"

namespace hashep::python {

/// A TokenBatch that keeps the arrays which it is of.
class PythonTokens {
 public:
  PythonTokens(nb::handle ids, int64_t seq_len, int64_t first_position, int32_t previous_id,
               nb::handle positions, nb::handle previous_ids);
  PythonTokens(const PythonTokens&) = delete;
  PythonTokens& operator=(const PythonTokens&) = delete;

  const TokenBatch& get() const { return batch_; }

 private:
  Integers<int32_t> ids_;
  Integers<int64_t> positions_;
  Integers<int32_t> previous_ids_;
  TokenBatch batch_;
};

std::vector<TokenBatch> token_batches(const std::vector<PythonTokens*>& batches);

/// What went wrong in a function of Python's, as one line.
std::string error_text(nb::python_error& error);

/// Tokens, routers, tables, placements and plans.
void bind_routing(nb::module_& module);

}  // namespace hashep::python
