# SPDX-License-Identifier: Apache-2.0
"""Sums of a few numbers over ranks."""

import numpy as np

from ._core import ReproducibleSum


def sum_float64(context, values):
    """The sum over all ranks of each of `values` ([n] float64), rounded to float64.

    What one rank alone has (the others having 0) comes back as it is, to the bit; a sum of several has
    the same bits however it is dealt to ranks. Collective.
    """
    values = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(values).all():
        raise ValueError("a sum over ranks: a value is not finite")
    # A float64 has 53 bits, a float32 24: three of them hold one, and a row of its own keeps each apart.
    pieces = np.empty((values.size, 3), np.float32)
    rest = values.copy()
    for i in range(3):
        pieces[:, i] = rest
        rest -= pieces[:, i]
    if values.size == 0:
        return values
    total = ReproducibleSum(context, 3 * values.size, 1)
    total.add(pieces.reshape(-1, 1))
    return total.finish().reshape(-1, 3).astype(np.float64)[:, ::-1].sum(axis=1)
