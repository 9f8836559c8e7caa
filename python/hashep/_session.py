# SPDX-License-Identifier: Apache-2.0
"""The end of a program: what ranks share is given back, and nobody waits for one that has failed."""

import atexit
import sys
import weakref

from . import _core

_LONGEST_PARTING = 10.0  # seconds, beyond which a failed program does not wait for MPI

_made = []  # weak references to contexts and stacks, in the order they were made
_failed = False  # an exception ends the program
_fails_alone = False  # and other ranks may not have met it


class Context(_core.Context):
    __doc__ = _core.Context.__doc__

    def __init__(self, comm=None, **options):
        super().__init__(comm, **options)
        _made.append(weakref.ref(self))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is not None and not _is_met_by_all(error):
            self.leave(f"{kind.__name__}: {error}")
        self.close()


class Stack(_core.Stack):
    __doc__ = _core.Stack.__doc__

    def __init__(self, context, shape, router, weights, **options):
        """Reads this rank's weights, which are packed. options: see StackOptions. Collective."""
        super().__init__(context, shape, router, weights, _core.StackOptions(**options))
        _made.append(weakref.ref(self))

    @classmethod
    def from_folder(cls, context, folder, *, layers="hash", accept_unused=False, **options):
        """A Stack of a published model's layers: see open_model. Collective."""
        stack = cls.__new__(cls)
        _core.Stack.__init__(
            stack, context, str(folder), layers, accept_unused, _core.StackOptions(**options)
        )
        _made.append(weakref.ref(stack))
        return stack


def _alive(kind):
    made = [reference() for reference in _made]
    return [each for each in made if isinstance(each, kind) and not each.is_closed]


def _is_met_by_all(error):
    return getattr(error, "on_all_ranks", False)


def _note_failure(kind, error, traceback):
    """sys.excepthook: one rank prints what all have met, and one that fails alone tells the others."""
    global _failed, _fails_alone
    _failed = True
    _fails_alone = not _is_met_by_all(error)
    try:
        if getattr(error, "is_reporter", True):
            _hook(kind, error, traceback)
        elif _fails_alone:
            print(f"{kind.__module__}.{kind.__name__}: {error}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        if _fails_alone:
            for context in _alive(Context):
                context.leave(f"{kind.__name__}: {error}")


def _end():
    """Closes stacks, then contexts, the last one first, and ends MPI."""
    contexts = _alive(Context)
    deadline = max((context.deadline for context in contexts), default=120.0)
    if not _failed:
        # Who still waits for this rank in a call does so in vain.
        for context in contexts:
            context.leave("its program has ended")
    for made in reversed(_alive((Context, Stack))):
        made._close_at_exit() if isinstance(made, Stack) else made.close()
    _core._end_mpi(_fails_alone, _LONGEST_PARTING if _failed else deadline)


_hook = sys.excepthook
sys.excepthook = _note_failure
atexit.register(_end)
