// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dnnl_debug.h>

#include <dnnl.hpp>
#include <string>
#include <string_view>

#include "hashep/error.hpp"

namespace hashep::onednn {

/// Throws RunError naming the call and the status, unless it is success.
inline void check(dnnl_status_t status, std::string_view name) {
  if (status == dnnl_success) return;
  throw RunError("oneDNN: " + std::string(name) + " failed with status " +
                 std::to_string(static_cast<int>(status)) + " (" + dnnl_status2str(status) + ")");
}

/// Returns body(), turning oneDNN's exceptions into RunError that names the call.
template <typename Body>
auto call(std::string_view name, Body&& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    check(error.status, name);
    throw;
  }
}

}  // namespace hashep::onednn
