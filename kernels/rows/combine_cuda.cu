// SPDX-License-Identifier: Apache-2.0
#include "kernels/launch.cuh"
#include "kernels/rows/add_rows_body.hpp"
#include "kernels/rows/combine_body.hpp"

namespace hashep {

void combine_rows(const CombineInput& input, MatrixView y, DeviceStream stream) {
  const CombineArguments arguments = combine_arguments(input, y);
  with_combine_body(arguments, [&](auto body) {
    launch_body<decltype(body)>(arguments, stream, "combine_rows");
  });
}

void add_rows(ConstMatrixView y, MatrixView x, DeviceStream stream) {
  const AddRowsArguments arguments = add_rows_arguments(y, x);
  with_add_rows_body(
      arguments, [&](auto body) { launch_body<decltype(body)>(arguments, stream, "add_rows"); });
}

}  // namespace hashep
