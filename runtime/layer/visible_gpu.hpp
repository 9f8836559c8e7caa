// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace hashep {

/// A GPU that this process may use.
struct VisibleGpu {
  std::string name;
  std::string pci_id;  // "0000:1b:00.0", lower case: the same for all processes of a machine
};

}  // namespace hashep
