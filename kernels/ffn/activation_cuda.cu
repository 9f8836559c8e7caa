// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/activation_body.hpp"
#include "kernels/launch.cuh"
#include "kernels/rows/add_bias_body.hpp"

namespace hashep {

void activate(const FfnShape& shape, const PreActivation& input, MatrixView out,
              DeviceStream stream) {
  const ActivationArguments arguments = activation_arguments(shape, input, out);
  with_activation_body(
      arguments, [&](auto body) { launch_body<decltype(body)>(arguments, stream, "activate"); });
}

void add_bias(const float* bias, MatrixView rows, DeviceStream stream) {
  const AddBiasArguments arguments = add_bias_arguments(bias, rows);
  with_add_bias_body(
      arguments, [&](auto body) { launch_body<decltype(body)>(arguments, stream, "add_bias"); });
}

}  // namespace hashep
