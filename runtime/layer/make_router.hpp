// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "hashep/router.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/model/model_folder.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// What the routing of a stack is made from.
struct RoutingSource {
  RouterKind kind = RouterKind::token;
  uint64_t seed = 0;
  std::string table_path;               // RouterKind::table; empty: the model folder's own
  const ModelFolder* folder = nullptr;  // may be null
};

/// The router of all layers of `config`. `balanced` counts the first kCountedTokens ids of the
/// stream and builds one table for all layers: that of `hashep table build --method balanced` for
/// the same counts and seed. Local; the same on all ranks. Throws InputError on a bad or missing
/// table.
std::unique_ptr<Router> make_router(const ModelConfig& config, const RoutingSource& source,
                                    const TokenStream& stream);

/// A digest of the stream's first `limit` ids (kCountedTokens at most), for ranks to compare.
uint64_t id_digest(const TokenStream& stream, int64_t limit);

}  // namespace hashep
