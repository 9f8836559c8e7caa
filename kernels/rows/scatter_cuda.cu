// SPDX-License-Identifier: Apache-2.0
#include "kernels/launch.cuh"
#include "kernels/rows/scatter_body.hpp"

namespace hashep {

void scatter_rows(ConstMatrixView x, const ScatterPlan& plan, DeviceStream stream) {
  const ScatterArguments arguments = scatter_arguments(x, plan);
  with_scatter_body(arguments, [&](auto body) {
    launch_body<decltype(body)>(arguments, stream, "scatter_rows");
  });
}

}  // namespace hashep
