// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hashep::test {

/// a * b + c as the compiler makes it with the flags of the bodies of fused_body_test.
float product_and_sum(float a, float b, float c);

}  // namespace hashep::test
