# SPDX-License-Identifier: Apache-2.0
"""How much larger the values of one sample are than those of another, with an interval.

The interval belongs to the Mann-Whitney test: it holds each ratio by which one sample can be scaled
without the test telling the two apart (Hodges and Lehmann 1963; Hollander and Wolfe, section 4.3).
It assumes no distribution, and few samples give a wide interval, or none.
"""

import functools
import math
import statistics

MOST_EXACT = 4000  # products of sample sizes; beyond it the normal approximation is as good


@functools.lru_cache(maxsize=None)
def critical_value(n, m, level):
    """The largest k with P(U <= k) <= level for Mann and Whitney's U of sizes n and m, or -1."""
    if n * m > MOST_EXACT:
        middle, deviation = n * m / 2, math.sqrt(n * m * (n + m + 1) / 12)
        return math.floor(middle + statistics.NormalDist().inv_cdf(level) * deviation - 0.5)
    # Ways to have each value of U: the coefficients of the Gaussian binomial (n + m over n), which
    # is the product of (1 - q^(m + i)) / (1 - q^i) for i = 1 to n.
    ways = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for u in range(n * m, m + i - 1, -1):
            ways[u] -= ways[u - m - i]
        for u in range(i, n * m + 1):
            ways[u] += ways[u - i]
    most = level * math.comb(n + m, n)
    total, k = 0, -1
    while total + ways[k + 1] <= most:
        total += ways[k + 1]
        k += 1
    return k


def ratio_interval(a, b, confidence):
    """(low, high) for b over a; (0, inf) where there are too few samples to say."""
    ratios = sorted(y / x for x in a for y in b)
    k = critical_value(len(a), len(b), (1 - confidence) / 2)
    if k < 0:
        return 0.0, math.inf
    return ratios[k], ratios[len(ratios) - 1 - k]
