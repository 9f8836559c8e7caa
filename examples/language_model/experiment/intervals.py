# SPDX-License-Identifier: Apache-2.0
"""Means, paired differences and equivalence over seeds, by Student's t."""

import math
import typing

import numpy as np
from scipy.stats import t as student


class Estimate(typing.NamedTuple):
    mean: float
    half: float  # of its 95 % interval; not a number where there is one value
    count: int


class Difference(typing.NamedTuple):
    """Of pairs of runs with one seed each: theirs minus the other's."""

    mean: float
    half: float
    count: int
    verdict: str


def estimate(values, confidence=0.95):
    values = np.asarray(values, float)
    if len(values) < 2:
        return Estimate(float(values.mean()), math.nan, len(values))
    error = values.std(ddof=1) / math.sqrt(len(values))
    factor = student.ppf((1 + confidence) / 2, len(values) - 1)
    return Estimate(float(values.mean()), float(error * factor), len(values))


def difference(ours, theirs, margin):
    """ours, theirs: {seed: loss}; seeds that both have count.

    The verdict is "lower" or "higher" where the 95 % interval of the mean difference does not hold 0;
    "equivalent" where two one-sided tests at 5 % (Schuirmann, 1987) place it within +-margin, which is
    where its 90 % interval is there; both, or "undecided".
    """
    pairs = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if not pairs:
        return Difference(math.nan, math.nan, 0, "undecided")
    mean, half, count = estimate(pairs)
    if count < 2:
        return Difference(mean, half, count, "undecided")
    narrow = estimate(pairs, confidence=0.9).half
    found = []
    if abs(mean) > half:
        found.append("lower" if mean < 0 else "higher")
    if abs(mean) + narrow < margin:
        found.append("equivalent")
    verdict = ", ".join(found) or "undecided"
    return Difference(mean, half, count, verdict)
