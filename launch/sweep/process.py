# SPDX-License-Identifier: Apache-2.0
"""A program and all that it starts, with an end to it."""

import ctypes
import os
import signal
import subprocess
import sys

GRACE = 10.0  # seconds between the polite signal and the other one
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """In the child: SIGTERM comes when the sweep itself is killed, so that no point runs unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process):
    """Ends the program's whole group."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            pass
        try:
            process.wait(GRACE)
            break
        except subprocess.TimeoutExpired:
            pass


def run(command, log, timeout):
    """The exit code, None where the time was up. What it prints goes to the file `log`."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                               stderr=subprocess.STDOUT, start_new_session=True,
                               preexec_fn=die_with_parent)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:  # also where a signal stops the sweep
        if process.poll() is None:
            end(process)
