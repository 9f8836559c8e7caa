// SPDX-License-Identifier: Apache-2.0
#include "hashep/version.hpp"

namespace hashep {

std::string_view version() {
  return HASHEP_VERSION;
}

std::string_view commit() {
  return HASHEP_COMMIT;
}

}  // namespace hashep
