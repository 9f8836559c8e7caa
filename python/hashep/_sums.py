# SPDX-License-Identifier: Apache-2.0
"""Sums of a few numbers over ranks."""

import numpy as np

from ._core import ReproducibleSum


def sum_float64(context, values):
    """The sum over all ranks of each of `values` ([n] float64), rounded to float64: [n].

    What one rank alone has (the others having 0) comes back as it is, to the bit; a sum of several has
    the same bits however it is dealt to ranks. NaN where a rank's value is not finite. Collective.
    """
    values = np.array(values, dtype=np.float64).reshape(-1)
    if values.size == 0:
        return values
    is_finite = np.isfinite(values)
    # A float64 has 53 bits, a float32 24: three of them hold one, and a row of its own keeps each apart.
    pieces = np.zeros((values.size, 4), np.float32)
    rest = np.where(is_finite, values, 0.0)
    for i in range(3):
        pieces[:, i] = rest
        rest -= pieces[:, i]
    pieces[:, 3] = ~is_finite  # of how many ranks
    total = ReproducibleSum(context, pieces.size, 1)
    total.add(pieces.reshape(-1, 1))
    sums = total.finish().reshape(-1, 4).astype(np.float64)
    return np.where(sums[:, 3] == 0, sums[:, 2] + sums[:, 1] + sums[:, 0], np.nan)
