# SPDX-License-Identifier: Apache-2.0
"""What ranks do together beside layers: fail together, and add losses."""

import math

import hashep
import numpy as np
from hashep import sum_float64

from data import BadInput


class Stop(Exception):
    """All ranks end; `line` is what this one has to say about it, if it is the one to speak."""

    def __init__(self, line, exit_code=2):
        super().__init__(line or "another rank has met an error")
        self.line = line
        self.exit_code = exit_code


def together(context, work):
    """work(), here and on all ranks. Where it fails on some, all raise Stop. Collective."""
    result, problem = None, None
    try:
        result = work()
    except (BadInput, hashep.InputError, OSError, ValueError) as error:
        problem = str(error)
    failed = np.zeros(context.size)
    failed[context.rank] = problem is not None
    failed = sum_float64(context, failed)
    if failed.any():
        raise Stop(problem if context.rank == np.flatnonzero(failed)[0] else None)
    return result


def barrier(context):
    sum_float64(context, [0.0])


def sum_of_sequences(context, losses, part, count):
    """The sum of a batch's `count` losses, of which this rank has made those of `part`.

    Each has a place of its own and is added in order: the same bits however sequences are dealt. Not
    finite where one is not. Collective.
    """
    places = np.zeros(count)
    places[part] = losses
    return math.fsum(sum_float64(context, places))
